"""Secrets for tests to plant and to look for. None opens anything; each is put together, so that no scanner finds it."""

from __future__ import annotations

WORD = "a1B2c3D4e5F6g7H8"
LONG = WORD * 3

SHAPED = {  # by what one sees of it
    "hugging_face": f"hf_{LONG[:34]}",
    "openai": f"sk-proj-{LONG[:40]}",
    "github": f"ghp_{LONG[:36]}",
    "github_fine_grained": f"github_pat_{LONG}",
    "gitlab": f"glpat-{LONG[:20]}",
    "gitlab_runner": f"glrt-{LONG[:20]}",
    "nvidia": f"nvapi-{LONG}",
    "google": f"AIza{LONG[:35]}",
    "google_oauth": f"ya29.{LONG}",
    "aws": "AKIA" + "QWERTYUIOPASDFGH",
    "aws_session": "ASIA" + "QWERTYUIOPASDFGH",
    "groq": f"gsk_{LONG}",
    "npm": f"npm_{LONG[:36]}",
    "pypi": f"pypi-{LONG}",
    "slack": f"xoxb-{LONG[:30]}",
    "slack_app": f"xapp-1-{LONG[:30]}",
    "docker": f"dckr_pat_{LONG[:27]}",
    "vault": f"hvs.{LONG}",
    "replicate": f"r8_{LONG[:37]}",
    "stripe": f"sk_live_{LONG[:24]}",
    "sendgrid": f"SG.{LONG[:22]}.{LONG[:43]}",
    "web_token": f"eyJ{LONG[:30]}.eyJ{LONG[:30]}.{LONG[:30]}",
}
KEY_BLOCK = f"-----BEGIN RSA PRIVATE KEY-----\n{LONG}\n{LONG}\n-----END RSA PRIVATE KEY-----"
# (text that holds it, the secret itself)
PLACED = {
    "proxy": ("http://user:pa55-word-one@proxy:3128", "pa55-word-one"),
    "git": (f"https://oauth2:{LONG[:20]}x@git.example/a.git", f"{LONG[:20]}x"),
    "database": ("postgresql://:pa55-word-two@db:5432/runs", "pa55-word-two"),
    "at_sign": ("redis://user:pa55@word@cache:6379/0", "pa55@word"),
    "token_for_a_name": (f"https://{LONG[:24]}@index.example/simple", LONG[:24]),
    "signed": (f"https://bucket.example/m?X-Amz-Expires=60&X-Amz-Signature={LONG}", LONG),
    "query": (f"https://hub.example/api?access_token={LONG[:18]}y&q=1", f"{LONG[:18]}y"),
    "shared_access": (f"https://blob.example/c?sv=2024&sig={LONG[:30]}%3D", f"{LONG[:30]}%3D"),
    "header": (f"Authorization: Bearer {LONG[:21]}", LONG[:21]),
    "basic": (f"authorization=Basic {LONG[:22]}==", f"{LONG[:22]}=="),
    "azure": (f"AccountName=a;AccountKey={LONG[:40]}==;Suffix=x", f"{LONG[:40]}=="),
    "key_block": (KEY_BLOCK, LONG),
}
# By the name of its variable alone; each value is one that looks like nothing.
NAMED = {
    "HF_TOKEN": "plain-looking-1",
    "REGISTRY_AUTH": "plain-looking-2",
    "VLLM_S3_CRED": "plain-looking-3",
    "GH_PAT": "plain-looking-4",
    "ENCRYPTION_KEY": "plain-looking-5",
    "PGPASSWORD": "plain-looking-6",
    "DB_PASS": "plain-looking-7",
    "AWS_SECRET_ACCESS_KEY": "plain-looking-8",
    "AWS_ACCESS_KEY_ID": "plain-looking-9",
    "NCCL_SHARED_SECRET": "plain-looking-10",
    "TORCH_HUB_TOKEN": "plain-looking-11",
    "VLLM_SESSION_COOKIE": "plain-looking-12",
    "SENTRY_DSN": "plain-looking-13",
    "VLLM_PASSWORD": "plain-looking-14",
    "VLLM_PASSCODE": "plain-looking-15",
    "PROXY_AUTH_HEADER": "plain-looking-16",
    "HF_TOKNE": "plain-looking-17",
    "VLLM_API_KYE": "plain-looking-18",
    "DB_PASWORD": "plain-looking-19",
    "OPENAI_API_KEYY": "plain-looking-20",
}
