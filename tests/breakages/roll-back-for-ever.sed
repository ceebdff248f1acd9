# breaks: a run rolls back however often it has done so
# file: src/train/blame.cpp
# tests: unit_train cli_campaign
s/if \(roll_backs >= stage\.bad_steps\.most_roll_backs\)/if (roll_backs < 0)/
