#include "store.h"

#include <sqlite3.h>

#include <algorithm>

#include "pixart/base/base64.h"
#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/secret.h"

namespace pixart::study {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostOfScreen = 50;        // answers that a person may give to one screen, on the mean
constexpr const char* kTablesVersion = "1";  // of the tables

// 128 bits as 22 letters, digits, - and _.
std::string secret_word() {
  constexpr size_t kBytes = 16, kLetters = 22;
  std::string word = to_base64(random_bytes(kBytes)).substr(0, kLetters);
  std::ranges::replace(word, '+', '-');
  std::ranges::replace(word, '/', '_');
  return word;
}

}  // namespace

struct Store::State {
  fs::path file;
  sqlite3* database = nullptr;
  ~State() { sqlite3_close_v2(database); }

  [[noreturn]] void fail() const {
    const int code = database == nullptr ? SQLITE_NOMEM : sqlite3_errcode(database) & 0xFF;
    const std::string what = database == nullptr ? "out of memory" : sqlite3_errmsg(database);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_ERROR)
      throw UserError(
          fmt::format("{} is not a file of answers ({}). Choose another --answers.", file.string(), what));
    const int system = database == nullptr ? ENOMEM : sqlite3_system_errno(database);
    throw UserError(fmt::format("{}: {}. Earlier answers are kept.", file.string(), what),
                    is_shortage(system) ? ExitCode::kDevice : ExitCode::kStorage);
  }
  void run(const char* sql) const {
    if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail();
  }
};

namespace {

// A prepared statement with texts and numbers bound in order.
class Statement {
 public:
  template <class State>
  Statement(const State& state, const char* sql) : fail_([&state] { state.fail(); }) {
    if (sqlite3_prepare_v2(state.database, sql, -1, &statement_, nullptr) != SQLITE_OK) state.fail();
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(const std::string& text) {
    sqlite3_bind_text(statement_, ++bound_, text.data(), int(text.size()), SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind(int64_t number) {
    sqlite3_bind_int64(statement_, ++bound_, number);
    return *this;
  }
  bool step() {
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) fail_();
    return code == SQLITE_ROW;
  }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return bytes == nullptr ? "" : std::string(bytes, size_t(sqlite3_column_bytes(statement_, column)));
  }
  int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  sqlite3_stmt* statement_ = nullptr;
  std::function<void()> fail_;
  int bound_ = 0;
};

// BEGIN, and ROLLBACK if commit() is not reached.
template <class State>
class Transaction {
 public:
  explicit Transaction(const State& state) : state_(state) { state_.run("BEGIN IMMEDIATE"); }
  ~Transaction() {
    if (is_open_) sqlite3_exec(state_.database, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    state_.run("COMMIT");
    is_open_ = false;
  }

 private:
  const State& state_;
  bool is_open_ = true;
};

}  // namespace

void Store::open(const fs::path& file, int flags) {
  state_ = std::make_unique<State>();
  state_->file = file;
  if (sqlite3_open_v2(file.c_str(), &state_->database, flags, nullptr) != SQLITE_OK) state_->fail();
  constexpr int kBusyMilliseconds = 10'000;  // another process may write or read
  sqlite3_busy_timeout(state_->database, kBusyMilliseconds);
}

void Store::make_tables(const Shape& shape) {
  Transaction transaction(*state_);
  state_->run("CREATE TABLE study (name TEXT PRIMARY KEY, value TEXT NOT NULL)");
  state_->run("CREATE TABLE people (person TEXT PRIMARY KEY, word TEXT NOT NULL UNIQUE)");
  state_->run(
      "CREATE TABLE answers (number INTEGER PRIMARY KEY, person TEXT NOT NULL, trial INTEGER NOT NULL, answer TEXT NOT "
      "NULL, UNIQUE (person, trial, answer))");
  Statement(*state_, "INSERT INTO study VALUES ('study', ?), ('tables', ?)")
      .bind(shape.id)
      .bind(std::string(kTablesVersion))
      .step();
  for (const auto& [person, screens] : shape.people)
    Statement(*state_, "INSERT INTO people VALUES (?, ?)").bind(person).bind(secret_word()).step();
  transaction.commit();
}

void Store::read_people() {
  Statement study(*state_, "SELECT value FROM study WHERE name = 'study'");
  if (study.step()) study_ = study.text(0);
  Statement rows(*state_, "SELECT word, person FROM people");
  while (rows.step()) people_[rows.text(0)] = rows.text(1);
}

Store::Store(const fs::path& file, const Shape& shape) {
  open(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX);
  // With WAL and FULL, a commit is an append and an fsync, and a stored answer survives a power cut.
  state_->run("PRAGMA journal_mode = WAL");
  state_->run("PRAGMA synchronous = FULL");
  bool is_empty = false;
  {
    Statement tables(*state_, "SELECT 1 FROM sqlite_master LIMIT 1");
    is_empty = !tables.step();
  }
  if (is_empty) make_tables(shape);
  read_people();
  if (study_ != shape.id)
    throw UserError(fmt::format("{} has the answers to another study ({}). Choose another --answers.",
                                file.string(), study_));
}

Store::Store(const fs::path& file) {
  if (!fs::is_regular_file(file)) throw UserError(fmt::format("{} does not exist.", file.string()));
  open(file, SQLITE_OPEN_READWRITE |
                 SQLITE_OPEN_FULLMUTEX);  // a database in WAL mode cannot be opened only to read
  read_people();
}

Store::~Store() = default;

bool Store::put(const std::vector<Answer>& answers, const Shape& shape) {
  const std::lock_guard lock(mutex_);
  Transaction transaction(*state_);
  for (const auto& answer : answers) {
    Statement count(*state_, "SELECT count(*) FROM answers WHERE person = ?");
    count.bind(answer.person).step();
    if (count.number(0) >= kMostOfScreen * int64_t(shape.people.at(answer.person).size())) return false;
    Statement(*state_, "INSERT OR IGNORE INTO answers (person, trial, answer) VALUES (?, ?, ?)")
        .bind(answer.person)
        .bind(answer.trial)
        .bind(answer_json(answer).dump())
        .step();
  }
  transaction.commit();
  return true;
}

void Store::each(const std::string& person,
                 const std::function<void(const std::string&, int64_t, const std::string&)>& visit) {
  const std::lock_guard lock(mutex_);
  Statement rows(*state_,
                 "SELECT person, trial, answer FROM answers WHERE ?1 = '' OR person = ?1 ORDER BY number");
  rows.bind(person);
  while (rows.step()) visit(rows.text(0), rows.number(1), rows.text(2));
}

}  // namespace pixart::study
