# breaks: a shard that changes on its server is read on
# file: src/data/http_get.cpp
# tests: unit_data cli_remote
s/identity\.validator != known_->validator\)/identity.validator.empty())/
