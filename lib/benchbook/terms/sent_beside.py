"""How much benchbook itself asks of a server beside the load: told before anything starts, and kept to by what sends it."""

MAX_WARMUPS = 4  # waves, where a server still stands still in them
NUM_PROMPTS = 32  # answered greedily, by which outputs of launches are compared
NUM_ALONE = 8  # prompts of a launch that is compared with none: enough to see one answer to all
GUARD_AT_ONCE = 8  # items of a guard
MAX_LOADS = 40  # loads that may pass while a guard's items are answered
