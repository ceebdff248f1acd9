# breaks: a run that continues with other keys is another run on W&B
# file: src/report/export_wandb.cpp
# tests: unit_report
s/^  std::string first = yaml;/  std::string first = yaml; return formats::sha256(yaml).substr(0, kLength);/
