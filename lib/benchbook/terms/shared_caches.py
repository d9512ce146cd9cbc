"""What starts have in common: caches on disk. A plan says it beforehand, a comparison of what it has found."""

MEANING = "what was compiled or tuned once stays for all rounds, and a claim is about that code"
