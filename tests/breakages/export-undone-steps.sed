# breaks: steps that a run undid are exported
# file: src/report/event_rows.cpp
# tests: unit_report
s/^        is_undone\(stage, number, step\)\)/        is_undone(stage, number, step) \&\& step < 0)/
