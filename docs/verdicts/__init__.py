"""The sentences of verdict on the figures: each follows from numbers, by a rule that its page states."""
