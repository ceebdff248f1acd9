# breaks: folders whose names only contain that of a step are listed
# file: src/run/checkpoint_folder.cpp
# tests: unit_run
s/"\^step-\(\[0-9\]\{8\}\)\$"/"^step-([0-9]{8}).*$"/
