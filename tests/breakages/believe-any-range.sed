# breaks: a server that answers with another part of a file is believed
# file: src/data/http_connection.cpp
# tests: unit_data cli_remote
s/const bool fits = range && .*/const bool fits = bool(range);/
