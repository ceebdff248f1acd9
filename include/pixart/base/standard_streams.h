// Standard input, output and error of a command: whatever is wrong with them, its work goes on.
#pragma once
#include <string>

namespace pixart {

// First thing in main(). A closed one becomes /dev/null, else the next file to be opened would get its
// number, and with it all that is printed. SIGPIPE is ignored, here and in the processes that are started: a
// reader that has gone (`| tee` after Ctrl-C, `| head`) then makes writes fail, and does not end a run that
// has to save.
void prepare_standard_streams();

// Last thing in main(): why standard output is not complete (the disk is full), or "". A reader that has gone
// wants no more; that is not an error.
std::string finish_standard_output();

}  // namespace pixart
