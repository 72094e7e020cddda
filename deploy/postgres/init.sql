-- Runs once, when the volume is empty. One role and its databases to each service: none can read another's.
\set ON_ERROR_STOP on
\getenv nbhub_password NOTEBOOKS_DB_PASSWORD
\getenv temporal_password TEMPORAL_DB_PASSWORD
\getenv keycloak_password KEYCLOAK_DB_PASSWORD

CREATE ROLE nbhub LOGIN PASSWORD :'nbhub_password';
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE ROLE keycloak LOGIN PASSWORD :'keycloak_password';

CREATE DATABASE nbhub OWNER nbhub;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE keycloak OWNER keycloak;

REVOKE CONNECT, TEMPORARY ON DATABASE nbhub, temporal, temporal_visibility, keycloak FROM PUBLIC;
