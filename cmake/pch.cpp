// Exists to give each shared precompiled header a target of its own.
