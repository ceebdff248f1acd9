# breaks: a quarantine file that cannot be written ends the run
# file: src/data/quarantine_file.cpp
# tests: unit_data unit_features cli_storage
s/return keep\(error\.what\(\)\);/throw;/
