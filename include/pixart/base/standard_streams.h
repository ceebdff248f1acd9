// Standard input, output and error of a command. If one of them is closed or broken, the work goes on; the end says
// that what was printed is lost.
#pragma once
#include <string>

namespace pixart {

// Call it first in main(). A closed stream becomes /dev/null; otherwise the next file to be opened would get
// its number, and printed text would go into that file. A closed standard output takes no text: writes fail.
// SIGPIPE is ignored, here and in child processes: if the reader has exited (`| tee` after Ctrl-C, `| head`),
// writes fail, but a run can still save.
void prepare_standard_streams();

// Call it last in main(). Returns why standard output is incomplete (the disk is full, it is closed), or "". A
// reader that has exited is not an error.
std::string finish_standard_output();

}  // namespace pixart
