// What the user is told about an exception, whoever threw it: the one place for shortages of memory, threads
// and file descriptors, and for files and folders that the standard library could not use.
#pragma once
#include <exception>
#include <string>

#include "pixart/base/error.h"

namespace pixart {

struct Failure {
  ExitCode code = ExitCode::kInternal;
  std::string message;
};

// kDevice for a shortage; kBadInput or kStorage for a path; the code of a UserError; kInternal for all others.
Failure explain(const std::exception& error);

// Whether the remedy for too little memory names keys of a run, as it does until a command without one says false.
void set_remedies_of_run(bool are_named);

// Whether the process has too little memory, too many threads or too many open files. Libraries say it in
// words of their own.
bool is_shortage(const std::exception& error);

// The failure of std::bad_alloc in text that needs no memory, for std::terminate.
extern const char* const kOutOfMemory;

}  // namespace pixart
