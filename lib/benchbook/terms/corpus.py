"""The names of the small corpus that benchbook makes itself, which stand in an experiment file where a file's name would."""

CORPUS_PREFIX = "corpus:"
ITEMS = "corpus:items"  # questions for a guard
CORPUS = {
    "corpus:words": "words.txt",  # running text
    "corpus:prompts": "prompts.jsonl",  # vLLM's data set custom
    "corpus:chats": "chats.json",  # conversations, as ShareGPT has them
    "corpus:agents": "agents.jsonl",  # conversations with tools, which begin alike
}
