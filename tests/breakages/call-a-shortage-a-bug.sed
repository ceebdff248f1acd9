# breaks: too little memory is an internal error
# file: src/base/failure.cpp
# tests: unit_base cli_errors
s/if \(is_of_memory\(error\)\) return \{ExitCode::kDevice/if (false) return {ExitCode::kDevice/
