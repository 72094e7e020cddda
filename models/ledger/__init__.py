"""What was asked for and what came of it: operations, audit, answers to repeated requests, claims, heartbeats."""
