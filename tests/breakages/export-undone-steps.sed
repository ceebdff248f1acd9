# breaks: steps that a run undid are exported
# file: src/report/event_rows.cpp
# tests: unit_report
s/is_undone\(stage, place\.begin, step\)\) return;/(is_undone(stage, place.begin, step) \&\& step < 0)) return;/
