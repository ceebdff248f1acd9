# breaks: a stage without a usable checkpoint begins again at step 0 by itself
# file: src/train/stage_resume.cpp
# tests: cli_resume
s/if \(!may_restart_\) throw none_usable\(/if (!may_restart_ \&\& trained < -1) throw none_usable(/
