# breaks: a parameter that backward does not reach keeps the gradient of an earlier step
# file: src/optim/flat_parameters.cpp
# tests: unit_optim
s/gradient = hooks_->views\[i\]\.zero_\(\);/gradient = hooks_->views[i];/
