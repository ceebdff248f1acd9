// A part of some work that one of several processes takes. Its lock's file names the holder and counts the
// holder's signs of life, so that those who wait tell a slow holder from one that hangs.
#pragma once
#include <cstdint>
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
};

// A holder was silent for longer than the patience of the process that waited (ExitCode::kDevice).
class SilentHolder : public UserError {
 public:
  SilentHolder(const std::string& message, int rank) : UserError(message, ExitCode::kDevice), rank_(rank) {}
  int rank() const { return rank_; }  // of the holder; -1: it works for itself, or is unknown

 private:
  int rank_;
};

// Held as long as the object exists, and released by the system when the process dies.
class Claim {
 public:
  static std::optional<Claim> try_take(const std::filesystem::path& lock, const SharedWork& shared);
  // Waits for the holder, which makes `made`. Throws SilentHolder, and UserError(kRequeue) on a request to stop.
  static Claim wait_for(const std::filesystem::path& lock, const std::filesystem::path& made,
                        const SharedWork& shared);
  ~Claim();
  Claim(Claim&& other) noexcept;
  Claim& operator=(Claim&&) = delete;
  void sign_of_life();  // writes at most one a second

 private:
  Claim(FileLock lock, const std::filesystem::path& path, const SharedWork& shared);
  FileLock lock_;
  int descriptor_;
  double every_seconds_, next_;
  uint64_t count_ = 0;
};

// While it exists, give_sign_of_life() in this thread speaks for `claim`.
class SignsOfLife {
 public:
  explicit SignsOfLife(Claim& claim);
  ~SignsOfLife();
  SignsOfLife(const SignsOfLife&) = delete;
  SignsOfLife& operator=(const SignsOfLife&) = delete;

 private:
  Claim* before_;
};

// Work under a claim calls it after each piece. Without a claim it does nothing.
void give_sign_of_life();

// Watches the holder of a lock while this process waits. Signs of life are the holder's count and the size of
// the temporary file of `made` (file.h).
class HolderWatch {
 public:
  HolderWatch(std::filesystem::path lock, std::filesystem::path made, SharedWork shared);
  // Called again and again, at least once a second. Warns, or throws SilentHolder.
  void look();

 private:
  struct Sign {
    uint64_t count = 0, bytes = 0;
    bool operator==(const Sign&) const = default;
  };
  Sign read_sign() const;
  std::filesystem::path lock_, made_;
  SharedWork shared_;
  double last_look_, silent_seconds_ = 0, warn_at_;
  Sign last_;
};

}  // namespace pixart
