// Commands that ask a ChatServer, killed again and again.
#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <random>
#include <thread>

#include "chat_server.h"
#include "process.h"

namespace pixart::testing {

struct Kills {
  int number = 20;
  uint32_t most_requests = 0, most_milliseconds = 0;  // before a kill; fewer than these
};

// Starts the command, whose output folder is "killed", and kills it, anywhere in its start or between requests, until it
// ends by itself. It does so until kills.number kills have happened. `check` looks at the folder after each end.
template <class Command, class Check>
void expect_kills_change_nothing(const TemporaryFolder& folder, const Kills& kills,
                                 const ChatServer::Answer& answer, const Command& command_of,
                                 const Check& check) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  auto server = std::make_unique<ChatServer>(answer);
  for (int killed = 0; killed < kills.number;) {
    Process process(command_of(*server), folder.path());
    if (const int more = int(random() % kills.most_requests); more > 0) {
      const int enough = server->num_requests() + more;
      while (!server->wait_for_requests(enough, 0.02) && !process.has_ended()) {
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % kills.most_milliseconds));
    process.kill(SIGKILL);
    const auto result = process.wait();
    if (result.code == 128 + SIGKILL) {
      ++killed;
      continue;
    }
    ASSERT_EQ(result.code, 0) << result.output;
    check();
    std::filesystem::remove_all(folder / "killed");
    server = std::make_unique<ChatServer>(answer);
  }
  const auto result = run_pixart(command_of(*server), folder.path());
  ASSERT_EQ(result.code, 0) << result.output;
  check();
}

}  // namespace pixart::testing
