"""What whoever sends a request, or a proxy that passes everything on, may say of where the API is."""

ELSEWHERE = "evil.example"
SAYS_ELSEWHERE = {
    "Host": ELSEWHERE,
    "X-Forwarded-Host": ELSEWHERE,
    "X-Forwarded-Server": ELSEWHERE,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Scheme": "https",
    "X-Forwarded-Port": "4443",
    "X-Forwarded-Prefix": f"//{ELSEWHERE}",
    "X-Original-Host": ELSEWHERE,
    "X-Original-URL": f"//{ELSEWHERE}/",
    "X-Rewrite-URL": f"//{ELSEWHERE}/",
    "Forwarded": f"host={ELSEWHERE};proto=https",
}
