// Ranks as threads of one process, each with a communicator of its own over the loopback.
#pragma once
#include <ATen/Parallel.h>

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cpu_communicator.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/distributed/communicator.h"

namespace pixart::distributed::testing {

inline Launch launch_of(int rank, int world_size, int port) {
  Launch launch;
  launch.rank = launch.local_rank = rank;
  launch.world_size = launch.local_world_size = world_size;
  launch.master_address = "127.0.0.1";
  launch.master_port = port;
  launch.token = "what the ranks of a test know";
  return launch;
}

// A port that nobody listens on.
inline int free_port() { return listen_on("127.0.0.1").second; }

// Calls work(rank) in a thread for each rank; returns what each threw ("" if nothing).
inline std::vector<std::string> in_threads(int world_size, const std::function<void(int)>& work) {
  std::vector<std::string> errors(static_cast<size_t>(world_size));
  std::vector<std::thread> threads;
  for (int r = 0; r < world_size; ++r) {
    threads.emplace_back([&, r] {
      at::set_num_threads(1);
      try {
        work(r);
      } catch (const std::exception& error) {
        errors[size_t(r)] = error.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  return errors;
}

// The same with a mesh for each. They know one another's addresses, so they need no rendezvous.
inline std::vector<std::string> with_meshes(int world_size, double timeout_seconds,
                                            const std::function<void(std::unique_ptr<Mesh>)>& work) {
  std::vector<Socket> listeners;
  std::vector<Address> addresses;
  for (int r = 0; r < world_size; ++r) {
    auto [listener, port] = listen_on("127.0.0.1");
    listeners.push_back(std::move(listener));
    addresses.push_back({"127.0.0.1", port});
  }
  return in_threads(world_size, [&](int rank) {
    const Launch launch = launch_of(rank, world_size, 0);
    Strangers strangers;
    auto links = connect_all(launch, addresses, session_key(launch), listeners[size_t(rank)],
                             monotonic_seconds() + 30, strangers);
    work(std::make_unique<Mesh>(rank, std::move(links), timeout_seconds));
  });
}

// The same with a communicator for each.
inline std::vector<std::string> with_ranks(int world_size, double timeout_seconds,
                                           const std::function<void(Communicator&)>& work) {
  if (world_size == 1) return in_threads(1, [&](int) { work(*make_communicator({}, at::kCPU, {})); });
  return with_meshes(world_size, timeout_seconds, [&](std::unique_ptr<Mesh> mesh) {
    CpuCommunicator communicator(std::move(mesh));
    work(communicator);
  });
}

}  // namespace pixart::distributed::testing
