"""Local files: regular ones only, written whole or not at all."""
