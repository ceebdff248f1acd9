// Faults of the machine while something is read: they are not the file's, and many are over in a moment.
#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "pixart/base/error.h"

namespace pixart {

// Whether an error of the system concerns the machine: I/O errors (EIO, ESTALE), a file server that does not
// answer, no memory, no file descriptors. All other errors (ENOENT, EACCES, ...) concern the file.
bool is_machine_fault(int error_number);

// Whether it is a shortage of this process: too little memory, too many open files.
bool is_shortage(int error_number);
// What the system says of an error; for those that only pipes and sockets have: "it is not a regular file".
const char* reason_of(int error_number);
const char* remedy_of(int error_number);  // a sentence for the user about a machine fault

// A file could not be read, and the machine is at fault. code() is kStorage, or kDevice for a shortage.
class MachineFault : public UserError {
 public:
  MachineFault(const std::filesystem::path& path, int error_number);
  static MachineFault no_memory(const std::string& what);  // `what`: what was done, "read a.png"
  // Of something that has had its tries already, as a server: retry_machine_faults() throws it at once.
  static MachineFault lasting(const std::string& message, ExitCode code = ExitCode::kStorage);
  bool is_lasting() const { return is_lasting_; }

 private:
  using UserError::UserError;
  bool is_lasting_ = false;
};

// Throws MachineFault if the machine is at fault; returns if the file is.
void check_machine(const std::filesystem::path& path, int error_number);

// Calls `work` again while it throws MachineFault or std::bad_alloc: five times within about four seconds,
// with growing pauses. Then throws MachineFault. `what` says what `work` does: "read a.png". Other exceptions
// pass. Within another call, only that other one tries again.
void retry_machine_faults(const std::string& what, const std::function<void()>& work);

}  // namespace pixart
