# breaks: a stage with control trains the controlled model, too
# file: src/run/trained_parameters.cpp
# tests: cli_control
s/\(stage\.control\.is_on\(\) && !models::is_control_name\(names\[i\]\)\)/false/
