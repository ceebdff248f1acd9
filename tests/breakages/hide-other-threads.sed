# breaks: nobody is told that another number of threads changes the bits
# file: src/train/stage_resume.cpp
# tests: cli_resume
s/before == 0 \|\| before == now/before >= 0/
