# breaks: --weights both draws with the EMA weights twice
# file: tools/sample_drawing.cpp
# tests: cli_commands
s/own\.request\.ema = weights == Weights::kEma;/own.request.ema = true;/
