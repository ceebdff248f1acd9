// A small web server for a lab's own machine: it gives a study to the people who have a link, and stores their answers.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

namespace pixart::study {

struct ServeOptions {
  std::filesystem::path study = {};     // the folder that make_study() wrote
  std::filesystem::path database = {};  // answers and links (SQLite); is made if it is missing
  std::string host = "127.0.0.1";
  int port = 8080;           // 0: one that is free
  std::string address = {};  // of the links, as people reach it: "http://lab:8080"; "": made of host and port
  std::string collect =
      {};  // a word of at least 8 letters and digits; pages that were opened from a disk may send
           // answers to /collect/<word>; "": they may not
};

// Prints the links and serves until the process is ended, at any moment: an answer is acknowledged after it is on
// the disk. Nothing is served but the page, the images of the plan, and a person's own answers. A connection has one
// request, which is limited in time and size. Throws UserError if the folder is not a study, the database is of another one, or the address is in use.
void serve_study(const ServeOptions& options);

// The stored answers as JSON lines, for score_study(). Returns their number. Another process may serve meanwhile.
int64_t export_answers(const std::filesystem::path& database, const std::filesystem::path& out);

}  // namespace pixart::study
