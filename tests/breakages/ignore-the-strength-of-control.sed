# breaks: what a ControlNet adds does not depend on the strength
# file: src/models/pixart/pixart.cpp
# tests: golden_models
s/text\.control_strength \* control\.after/control.after/
