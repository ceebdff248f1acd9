#include "meeting.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <sstream>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "pixart/distributed/phase.h"

namespace pixart::distributed {

namespace {

constexpr double kTurnSeconds = 0.1;
constexpr double kTellSeconds = 2;        // to hand the outcome to a rank
constexpr double kLateAnswerSeconds = 5;  // for rank 0 to answer a rank that has waited long enough
constexpr uint32_t kOutcomeMagic = 0x50784d31;
constexpr uint32_t kMostBytes = 64 << 20;

// What a guest says while it waits; one byte.
constexpr char kStopIsRequested = 's', kTimeIsOver = 't';

struct OutcomeHeader {
  uint32_t magic, code, bytes;
};

// kDone: everybody is here, and `text` has their addresses; otherwise `text` says why the meeting failed.
struct Outcome {
  ExitCode code = ExitCode::kDone;
  std::string text;
};

void tell(const Socket& guest, const Outcome& outcome) {
  const OutcomeHeader header{kOutcomeMagic, uint32_t(outcome.code), uint32_t(outcome.text.size())};
  const double deadline = monotonic_seconds() + kTellSeconds;
  if (write_until(guest, &header, sizeof header, deadline))
    write_until(guest, outcome.text.data(), outcome.text.size(), deadline);
}

std::optional<Outcome> hear_outcome(const Socket& host) {
  const double deadline = monotonic_seconds() + kTellSeconds + kLateAnswerSeconds;
  OutcomeHeader header{};
  if (!read_until(host, &header, sizeof header, deadline) || header.magic != kOutcomeMagic ||
      header.code > uint32_t(ExitCode::kBadInput) || header.bytes > kMostBytes)
    return std::nullopt;
  Outcome outcome{ExitCode(header.code), std::string(header.bytes, '\0')};
  if (!read_until(host, outcome.text.data(), outcome.text.size(), deadline)) return std::nullopt;
  return outcome;
}

std::string to_text(const std::vector<Address>& addresses) {
  std::string text;
  for (const auto& address : addresses) text += fmt::format("{} {}\n", address.host, address.port);
  return text;
}

std::vector<Address> addresses_in(const std::string& text) {
  std::vector<Address> addresses;
  std::istringstream stream(text);
  for (Address one; stream >> one.host >> one.port;) addresses.push_back(one);
  return addresses;
}

struct Guest {
  Socket socket;
  Address address;
};

class Meeting {
 public:
  Meeting(const Attendance& attendance, const Socket& door)
      : launch_(attendance.launch),
        deadline_(attendance.deadline),
        own_(attendance.own),
        gate_(door, attendance.key, 0),
        guests_(size_t(attendance.launch.world_size)) {}

  std::vector<Address> run(Strangers& strangers) {
    while (!missing().empty()) {
      const double look = std::min(deadline_, monotonic_seconds() + kTurnSeconds);
      std::vector<Visitor> visitors = gate_.wait(look);
      hear_guests();
      for (auto& visitor : visitors) receive(std::move(visitor));
      if (!missing().empty()) give_up_if_needed();
    }
    std::vector<Address> addresses = {own_};
    for (size_t r = 1; r < guests_.size(); ++r) addresses.push_back(guests_[r].address);
    tell_all({ExitCode::kDone, to_text(addresses)});
    strangers += gate_.close();
    return addresses;
  }

 private:
  std::vector<std::string> missing() const {
    std::vector<std::string> names;
    for (size_t r = 1; r < guests_.size(); ++r)
      if (!guests_[r].socket.is_open()) names.push_back(std::to_string(r));
    return names;
  }

  void receive(Visitor visitor) {
    const Introduction& who = visitor.introduction;
    if (who.purpose != Purpose::kMeeting || who.rank == 0) return;
    if (who.world_size != guests_.size()) {
      const Outcome mismatch = {
          ExitCode::kDevice,
          fmt::format("rank {} counts {} ranks, rank 0 counts {}: were they started by the "
                      "same command?",
                      who.rank, who.world_size, guests_.size())};
      tell(visitor.socket, mismatch);
      end(mismatch);
    }
    if (who.rank >= guests_.size()) return;
    Guest& guest = guests_[who.rank];
    if (guest.socket.is_open()) return tell(visitor.socket, taken(who.rank));
    guest.socket = std::move(visitor.socket);
    guest.address = address_of(who);
  }

  Outcome taken(uint32_t rank) const {
    return {
        ExitCode::kBadInput,
        fmt::format("two processes say that they are rank {} at {}:{}. Does another run use this port? Set "
                    "MASTER_PORT to another number on all ranks.",
                    rank, launch_.master_address, launch_.master_port)};
  }

  // Forgets those that have left: their connection has ended.
  void hear_guests() {
    for (auto& guest : guests_) {
      char said = 0;
      if (!guest.socket.is_open()) continue;
      const ssize_t n = ::recv(guest.socket.get(), &said, 1, MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) guest.socket.close();
      must_stop_ = must_stop_ || (n == 1 && said == kStopIsRequested);
      time_is_over_ = time_is_over_ || (n == 1 && said == kTimeIsOver);
    }
  }

  void give_up_if_needed() {
    if (must_stop_ || stop_requested())
      end({ExitCode::kRequeue, "stopped on request while waiting for the other ranks"});
    if (!time_is_over_ && monotonic_seconds() < deadline_) return;
    const auto names = missing();
    const auto& strangers = gate_.strangers();
    end({ExitCode::kDevice,
         fmt::format(
             "{} of {} ranks did not come to {}:{} in time: {}. See their logs; did all machines start?{}",
             names.size(), guests_.size(), launch_.master_address, launch_.master_port, name_some(names),
             strangers.all() > 0 ? fmt::format(" Rank 0 {}.", to_string(strangers)) : "")});
  }

  [[noreturn]] void end(const Outcome& outcome) {
    tell_all(outcome);
    throw UserError(outcome.text, outcome.code);
  }

  void tell_all(const Outcome& outcome) const {
    for (const auto& guest : guests_)
      if (guest.socket.is_open()) tell(guest.socket, outcome);
  }

  const Launch& launch_;
  const double deadline_;
  const Address own_;
  Gate gate_;
  std::vector<Guest> guests_;  // by rank
  bool must_stop_ = false, time_is_over_ = false;
};

// Says once what is asked for.
class Request {
 public:
  Request(const Socket& host, char what) : host_(host), what_(what) {}
  void say() {
    if (!std::exchange(is_said_, true)) (void)::send(host_.get(), &what_, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

 private:
  const Socket& host_;
  const char what_;
  bool is_said_ = false;
};

[[noreturn]] void fail_because_of_host(const std::string& problem) {
  accuse_rank(0, problem);
  throw UserError(problem, ExitCode::kDevice);
}

void wait_for_outcome(const Socket& host, double deadline) {
  Request stop(host, kStopIsRequested), end(host, kTimeIsOver);
  while (!wait_to_read(host, monotonic_seconds() + kTurnSeconds)) {
    if (stop_requested()) stop.say();
    if (monotonic_seconds() > deadline) end.say();
    if (monotonic_seconds() > deadline + kLateAnswerSeconds)
      fail_because_of_host("rank 0 does not answer while the ranks meet");
  }
}

}  // namespace

std::vector<Address> host_meeting(const Attendance& attendance, const Socket& door, Strangers& strangers) {
  return Meeting(attendance, door).run(strangers);
}

std::vector<Address> attend_meeting(const Attendance& attendance, const Address& place) {
  const Launch& launch = attendance.launch;
  const Socket host = connect_as(introduction_of(launch, Purpose::kMeeting, attendance.own), 0, place,
                                 attendance.key, attendance.deadline);
  wait_for_outcome(host, attendance.deadline);
  const auto outcome = hear_outcome(host);
  if (!outcome) fail_because_of_host("rank 0 has ended while the ranks met");
  if (outcome->code != ExitCode::kDone) throw UserError(outcome->text, outcome->code);
  auto addresses = addresses_in(outcome->text);
  PIXART_CHECK(int(addresses.size()) == launch.world_size, "{} addresses of {} ranks", addresses.size(),
               launch.world_size);
  return addresses;
}

}  // namespace pixart::distributed
