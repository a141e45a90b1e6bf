"""Local files: only regular files, written whole or not at all."""
