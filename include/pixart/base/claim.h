// A part of some work that one of several processes takes, on one machine or on several that share a folder.
//
// A claim is a file. O_EXCL makes it for one process of all machines; its holder deletes it. It says who holds
// it (process, rank, host and a random token) and counts signs of life. Where the holder of a file is gone:
//
//   on this machine      the system released its flock(), so the claim is free at once
//   on another machine   flock() may be local there, or missing (Lustre with localflock, NFS without a lock
//                        server). The claim is free when nobody saw a sign of life for lease_seconds. That is
//                        measured by the clock of the process that waits; no two clocks are compared
//
// A holder that was only slow finds another token in its file and stops (Overtaken). For a moment two processes
// may do the same work, so what they make must be the same to the byte, or published once (publish_file()).
#pragma once
#include <cstdint>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>

#include "pixart/base/error.h"
#include "pixart/base/file_lock.h"

namespace pixart {

// How a process takes part in work that is shared through claims.
struct SharedWork {
  int rank = -1;                // of this process in a run of several ranks; -1: it works for itself
  double patience_seconds = 0;  // longest silence of a holder for which this process waits; 0: any
  double warn_seconds = 60, warn_again_seconds = 600;  // silence of a holder until a warning names it
  double lease_seconds = 60;  // silence of a holder on another machine until its claim is free
};

// A holder was silent for longer than the patience of the process that waited (ExitCode::kDevice).
class SilentHolder : public UserError {
 public:
  SilentHolder(const std::string& message, int rank) : UserError(message, ExitCode::kDevice), rank_(rank) {}
  int rank() const { return rank_; }  // of the holder; -1: it works for itself, or is unknown

 private:
  int rank_;
};

// Another process has made the work of this claim, or has taken the claim over. Not an error.
class Overtaken : public std::exception {
 public:
  const char* what() const noexcept override { return "another process has done this work"; }
};

class HolderWatch;

// Held as long as the object exists.
class Claim {
 public:
  // `watch`, if given, has watched this claim's holder.
  static std::optional<Claim> try_take(const std::filesystem::path& lock, const SharedWork& shared,
                                       const HolderWatch* watch = nullptr);
  // Waits for the holder, which makes `made`. Throws SilentHolder, and UserError(kRequeue) on a request to stop.
  static Claim wait_for(const std::filesystem::path& lock, const std::filesystem::path& made,
                        const SharedWork& shared);
  ~Claim();
  Claim(Claim&& other) noexcept;
  Claim& operator=(Claim&&) = delete;
  void sign_of_life();   // looks whether the claim is lost, and writes; at most once a second
  bool is_lost() const;  // another process has it now
  const std::string& token() const { return token_; }  // 16 hex digits

 private:
  Claim(FileLock lock, std::filesystem::path path, const SharedWork& shared);
  std::optional<FileLock> lock_;  // nothing after a move
  std::filesystem::path path_;
  std::string token_;
  double every_seconds_, next_;
  uint64_t count_ = 0;
};

// While it exists, give_sign_of_life() in this thread speaks for `claim`. With `made`, it throws Overtaken once
// that file exists or the claim is lost.
class SignsOfLife {
 public:
  explicit SignsOfLife(Claim& claim, std::filesystem::path made = {});
  ~SignsOfLife();
  SignsOfLife(const SignsOfLife&) = delete;
  SignsOfLife& operator=(const SignsOfLife&) = delete;

 private:
  friend void give_sign_of_life();
  Claim& claim_;
  std::filesystem::path made_;
  double next_look_;
  SignsOfLife* before_;
};

// Work under a claim calls it after each piece. Without a claim it does nothing.
void give_sign_of_life();

// Watches the holder of a claim while this process waits. Signs of life are the holder's token and count, and
// the size of the temporary files of `made` (file.h).
class HolderWatch {
 public:
  HolderWatch(std::filesystem::path lock, std::filesystem::path made, SharedWork shared);
  // Called again and again, at least once a second. Warns, or throws SilentHolder.
  void look();
  double silent_seconds() const { return silent_seconds_; }  // since the last sign of life
  double held_seconds() const;  // since this holder was seen first, as far as look() knows

 private:
  struct Sign {
    std::string token;
    uint64_t count = 0, bytes = 0;
    bool operator==(const Sign&) const = default;
  };
  Sign read_sign() const;
  std::filesystem::path lock_, made_;
  SharedWork shared_;
  double last_look_, held_since_, silent_seconds_ = 0, warn_at_;
  Sign last_;
};

}  // namespace pixart
