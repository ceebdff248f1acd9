#include "block.h"

// glibc's check of longjmp() does not know other stacks.
#undef _FORTIFY_SOURCE
#include <ucontext.h>
#include <csetjmp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_on_cpu {

namespace {

constexpr size_t kStack = 256 << 10;
enum class Wait { kNone, kWarp, kBlock };

struct Thread {
  bool done = false;
  Wait wait = Wait::kNone;
  unsigned mask = 0;
  Site site;
  uint64_t given = 0, taken = 0;  // values of a shuffle
  unsigned from = 0;              // thread whose value is taken
};

// A stack and the place where it stopped. It runs new threads of the block until one waits.
struct Fiber {
  ucontext_t context;
  std::jmp_buf place;
  bool begun = false;
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStack);
  unsigned thread = 0;
  void* fake_stack = nullptr;  // of AddressSanitizer
};

struct Block {
  std::vector<Thread> threads;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> waiting, idle;
  ucontext_t scheduler;
  std::jmp_buf scheduler_place;
  const void* scheduler_stack = nullptr;
  size_t scheduler_size = 0;
  Fiber* running = nullptr;
  unsigned next = 0;  // number of threads that have begun
  bool backwards = false;
  const std::function<void(unsigned)>* enter = nullptr;
  const std::function<void()>* body = nullptr;
};
Block* g_block = nullptr;

// AddressSanitizer must know which stack is in use.
void before_switch([[maybe_unused]] void** save, [[maybe_unused]] const void* stack,
                   [[maybe_unused]] size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(save, stack, size);
#endif
}
void after_switch([[maybe_unused]] void* saved, [[maybe_unused]] const void** stack,
                  [[maybe_unused]] size_t* size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(saved, stack, size);
#endif
}

// swapcontext() asks the kernel for the mask of signals, which takes ten times as long as the rest: it enters
// new stacks only. AddressSanitizer does not follow jumps between stacks.
#if defined(__SANITIZE_ADDRESS__)
void leave(Fiber& fiber) { ::swapcontext(&fiber.context, &g_block->scheduler); }
void enter(Fiber& fiber) { ::swapcontext(&g_block->scheduler, &fiber.context); }
#else
void leave(Fiber& fiber) {
  if (::_setjmp(fiber.place) == 0) ::longjmp(g_block->scheduler_place, 1);
}
void enter(Fiber& fiber) {
  if (::_setjmp(g_block->scheduler_place) != 0) return;
  if (fiber.begun) ::longjmp(fiber.place, 1);
  fiber.begun = true;
  ::setcontext(&fiber.context);
}
#endif

void to_scheduler(Fiber& fiber) {
  Block& block = *g_block;
  before_switch(&fiber.fake_stack, block.scheduler_stack, block.scheduler_size);
  leave(fiber);
  after_switch(fiber.fake_stack, &block.scheduler_stack, &block.scheduler_size);
}

void to_fiber(Fiber& fiber) {
  void* saved = nullptr;
  g_block->running = &fiber;
  before_switch(&saved, fiber.stack.get(), kStack);
  enter(fiber);
  after_switch(saved, nullptr, nullptr);
}

void run_fiber() {
  Block& block = *g_block;
  Fiber& fiber = *block.running;
  after_switch(nullptr, &block.scheduler_stack, &block.scheduler_size);
  for (;;) {
    while (block.next < block.threads.size()) {
      const unsigned begun = block.next++;
      fiber.thread = block.backwards ? unsigned(block.threads.size()) - 1 - begun : begun;
      (*block.enter)(fiber.thread);
      (*block.body)();
      block.threads[fiber.thread].done = true;
    }
    block.idle.push_back(&fiber);
    to_scheduler(fiber);
  }
}

Fiber& new_fiber() {
  g_block->fibers.push_back(std::make_unique<Fiber>());
  Fiber& fiber = *g_block->fibers.back();
  ::getcontext(&fiber.context);
  fiber.context.uc_stack = {fiber.stack.get(), 0, kStack};
  fiber.context.uc_link = nullptr;
  ::makecontext(&fiber.context, &run_fiber, 0);
  return fiber;
}

Fiber& idle_fiber() {
  if (g_block->idle.empty()) return new_fiber();
  Fiber& fiber = *g_block->idle.back();
  g_block->idle.pop_back();
  return fiber;
}

bool same_site(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::string_view(a.file_name()) == b.file_name());
}

// All threads of the group that have not ended wait as this one does.
bool can_go_on(const Thread& thread, unsigned index) {
  const auto& threads = g_block->threads;
  const bool in_warp = thread.wait == Wait::kWarp;
  const unsigned begin = in_warp ? index / kWarp * kWarp : 0;
  const unsigned end = in_warp ? begin + kWarp : unsigned(threads.size());
  for (unsigned i = begin; i < end && i < threads.size(); ++i) {
    const Thread& other = threads[i];
    if (other.done || (in_warp && (thread.mask >> (i - begin) & 1) == 0)) continue;
    if (other.wait != thread.wait || other.mask != thread.mask || !same_site(other.site, thread.site))
      return false;
  }
  return true;
}

// What can_go_on() says of a group of threads holds for all of them.
class Verdicts {
 public:
  bool operator()(const Thread& thread, unsigned index) {
    Verdict& verdict = thread.wait == Wait::kWarp ? of_warps_[index / kWarp] : of_block_;
    if (!verdict.known || verdict.mask != thread.mask)
      verdict = {.known = true, .mask = thread.mask, .can_go_on = can_go_on(thread, index)};
    return verdict.can_go_on;
  }

 private:
  struct Verdict {
    bool known = false;
    unsigned mask = 0;
    bool can_go_on = false;
  };
  std::array<Verdict, kMostThreads / kWarp> of_warps_;
  Verdict of_block_;
};

// When all wait; later one may have given its next value.
void take_value(Thread& thread) {
  const auto& threads = g_block->threads;
  const bool takes_part = thread.from < threads.size() && !threads[thread.from].done &&
                          (thread.mask >> thread.from % kWarp & 1) != 0;
  if (!takes_part) refuse("a shuffle reads a thread that takes no part", thread.site);
  thread.taken = threads[thread.from].given;
}

void wait_for(Wait wait, unsigned mask, const Site& site) {
  Fiber& fiber = *g_block->running;
  Thread& thread = g_block->threads[fiber.thread];
  thread.wait = wait;
  thread.mask = mask;
  thread.site = site;
  g_block->waiting.push_back(&fiber);
  to_scheduler(fiber);
  (*g_block->enter)(fiber.thread);
}

// Lets all those go on whose barrier is complete. False: nobody can.
bool resume_some() {
  Block& block = *g_block;
  std::vector<Fiber*> ready, still;
  Verdicts can_go_on_now;
  for (Fiber* fiber : block.waiting)
    (can_go_on_now(block.threads[fiber->thread], fiber->thread) ? ready : still).push_back(fiber);
  block.waiting = std::move(still);
  for (Fiber* fiber : ready)
    if (Thread& thread = block.threads[fiber->thread]; thread.wait == Wait::kWarp) take_value(thread);
  for (Fiber* fiber : ready) block.threads[fiber->thread].wait = Wait::kNone;
  for (Fiber* fiber : ready) to_fiber(*fiber);
  return !ready.empty();
}

}  // namespace

void run_block(unsigned threads, bool backwards, const std::function<void(unsigned)>& enter,
               const std::function<void()>& body) {
  static auto* block = new Block;
  g_block = block;
  block->threads.assign(threads, {});
  block->next = 0;
  block->backwards = backwards;
  block->enter = &enter;
  block->body = &body;
  while (block->next < threads) to_fiber(idle_fiber());
  while (!block->waiting.empty())
    if (!resume_some())
      refuse("threads of a block wait at different barriers",
             block->threads[block->waiting.front()->thread].site);
}

unsigned thread_of_block() { return g_block->running->thread; }

void wait_for_block(const Site& site) { wait_for(Wait::kBlock, 0, site); }

uint64_t exchange_in_warp(unsigned mask, uint64_t value, unsigned lane, const Site& site) {
  const unsigned me = thread_of_block();
  if ((mask >> me % kWarp & 1) == 0) refuse("a thread is not in its own mask", site);
  Thread& thread = g_block->threads[me];
  thread.given = value;
  thread.from = me / kWarp * kWarp + lane;
  wait_for(Wait::kWarp, mask, site);
  return thread.taken;
}

void wait_for_warp(unsigned mask, const Site& site) {
  exchange_in_warp(mask, 0, thread_of_block() % kWarp, site);
}

void refuse(const char* what, const Site& site) {
  std::fprintf(stderr, "CUDA on the CPU: %s:%u: %s\n", site.file_name(), unsigned(site.line()), what);
  std::abort();
}

}  // namespace cuda_on_cpu
