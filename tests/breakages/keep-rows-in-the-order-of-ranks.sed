# breaks: what the networks of a metric say of an image is put where the rank has it, not where the image is
# file: src/train/metric_rows.cpp
# tests: unit_train
s/all\[group % world\]\.narrow\(0, turn \* groups\.size, count\)/all[group \/ turns].narrow(0, group % turns * groups.size, count)/
