# breaks: the linear layers of a ControlNet do not begin at zero, so the model changes at step 0
# file: src/convert/initial_weights.cpp
# tests: unit_convert cli_control
s/at::zeros_like\(state\.get\(name\)\)/at::ones_like(state.get(name))/
