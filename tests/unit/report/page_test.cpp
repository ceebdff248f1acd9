#include "pixart/report/page.h"

#include "pixart/formats/image_file.h"
#include "run_files.h"

namespace pixart::report {
namespace {
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kEvil = "<script>alert(1)</script>\"'&";

class Page : public testing::RunFolderTest {
 protected:
  void put_run(const std::string& stage = "text") const {
    std::string events;
    for (int step = 1; step <= 300; ++step) events += event(stage, step, 1.0 / step);
    put("events.jsonl", events);
    put("telemetry.jsonl", process(1, 0, 300, "done"));
    put("run.yaml", "seed: 7\n");
    std::filesystem::create_directories(folder_ / "samples/text");
    for (const int step : {100, 200, 300})
      formats::save_png(folder_ / fmt::format("samples/text/step-{:08}.png", step), Image(8, 8, 99));
  }
  static std::string event(const std::string& stage, int step, double loss) {
    std::string escaped;
    for (const char c : stage) escaped += c == '"' ? "\\\"" : std::string(1, c);
    return fmt::format("{{\"stage\":\"{}\",\"step\":{},\"loss\":{},\"gradient_norm\":1,\"lr\":0.001}}\n",
                       escaped, step, loss);
  }
  ReportedRun reported() const {
    ReportedRun run{.record = read_run(folder_)};
    run.plan = {{.name = "text",
                 .objective = "text_conditional",
                 .steps = 300,
                 .batch_size = 4,
                 .gradient_clip = 1,
                 .prompts = {"a red circle"}}};
    run.comparisons = {{.with = "the defaults", .differences = {{"seed", "0", "7"}}}};
    return run;
  }
};

TEST_F(Page, HoldsAllParts) {
  put_run();
  const std::string page = run_page(reported(), {.made = "made now"});
  for (const char* part :
       {"id=\"stages\"", "id=\"samples\"",  "id=\"curves\"",          "id=\"timeline\"", "id=\"cost\"",
        "id=\"data\"",   "id=\"weights\"",  "id=\"configuration\"",   "finished",        "a red circle",
        "Gradient norm", "Learning rate",   "data:image/png;base64,", "RAPHAEL",         "seed: 7",
        "made now",      "clipped above 1", "<td>0</td><td>7</td>",   "300 of 300",      "1000, trained 20"})
    EXPECT_THAT(page, HasSubstr(part));
  for (const char* outside : {"http:", "https:", "url(", "@import", "<link"})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  EXPECT_THAT(page, HasSubstr("Content-Security-Policy"));
}

TEST_F(Page, EscapesWhatComesFromTheRun) {
  put_run(kEvil);
  const std::string evil = R"(<script>alert(1)</script>\"'&)";
  put("telemetry.jsonl", "{\"time\":\"2026-03-02T01:00:00Z\",\"kind\":\"start\",\"host\":\"" + evil +
                             "\",\"device\":\"" + evil + "\",\"version\":\"" + evil +
                             "\"}\n{\"time\":\"2026-03-02T01:10:00Z\",\"kind\":\"stop\",\"stage\":\"" + evil +
                             "\",\"step\":3,\"reason\":\"" + evil + "\",\"message\":\"" + evil + "\"}\n");
  put("run.yaml", std::string("prompt: ") + kEvil);
  put("quarantine/web.jsonl",
      "{\"key\":\"" + evil + "\",\"reason\":\"" + evil + "\",\"detail\":\"" + evil + "\"}\n");
  put("features/web/manifest.json", "{\"kind\":\"" + evil + "\",\"source\":\"" + evil +
                                        "\",\"rows\":1,\"rejected\":0,\"inputs\":{\"" + evil + "\":\"" +
                                        evil + "\"},\"shards\":[]}");
  put("score.json", "{\"" + evil + "\": 1}");
  put("checkpoints/text/step-00000001/manifest.json",
      "{\"sha256\":\"" + evil + "\",\"files\":{\"" + evil + ".safetensors\":{\"bytes\":1}}}");
  ReportedRun run = reported();
  run.record.name = kEvil;
  run.plan = {{.name = kEvil, .objective = kEvil, .prompts = {kEvil}},
              {.name = "text", .objective = "x", .prompts = {kEvil}}};
  run.comparisons = {{.with = kEvil, .differences = {{kEvil, kEvil, kEvil}}},
                     {.with = "b", .problem = kEvil}};
  for (const std::string& page :
       {run_page(run, {.made = kEvil}), comparison_page({run, run}, {.made = kEvil})}) {
    EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"));
    EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
    EXPECT_THAT(page, Not(HasSubstr("\"'&")));
  }
}

TEST_F(Page, OfAnEmptyFolderSaysWhatIsMissing) {
  const std::string page = run_page({.record = read_run(folder_)}, {});
  for (const char* sentence : {"There is no events.jsonl", "There is no telemetry.jsonl", "no sample images",
                               "no checkpoint yet", "run.yaml is missing", "No step is recorded",
                               "names a stage", "telemetry.jsonl is missing", "no files in quarantine"})
    EXPECT_THAT(page, HasSubstr(sentence));
  EXPECT_TRUE(page.ends_with("</html>\n"));
}

TEST_F(Page, ReplacesOnlyPages) {
  const auto refused = [](const std::filesystem::path& file) {
    return testing::refusal([&] { check_page_file(file); });
  };
  put_run();
  check_page_file(folder_ / "absent.html");
  check_page_file(write("run.html", run_page(reported(), {})));
  check_page_file(write("runs.html", comparison_page({reported(), reported()}, {})));
  for (const std::string text : {"", "notes", "<html><body><header>\n<h1>a</h1></header></body></html>"})
    EXPECT_THAT(refused(write("mine.html", text)), HasSubstr("mine.html is there and is not a page of"));
  EXPECT_THAT(refused(folder_ / "run.yaml"), HasSubstr("not replaced"));
  EXPECT_THAT(refused(folder_), HasSubstr("is a folder: give a file"));
  EXPECT_EQ(read(folder_ / "mine.html").substr(0, 6), "<html>");
}

TEST_F(Page, ComparesRuns) {
  put_run();
  ReportedRun a = reported(), b = reported();
  b.record.name = "second";
  b.comparisons = {{.with = "first", .differences = {{"stages.text.optimizer.lr", "0.1", "0.2"}}}};
  const std::string page = comparison_page({a, b}, {});
  EXPECT_THAT(page, AllOf(HasSubstr(", second</h1>"), HasSubstr("stages.text.optimizer.lr"),
                          HasSubstr("Loss, smoothed"), HasSubstr("class=\"series-1\""),
                          HasSubstr("second: text, step 300"), HasSubstr("RAPHAEL")));
}

TEST_F(Page, SaysWhereLossesCannotBeCompared) {
  put_run();
  ReportedRun a = reported(), b = reported();
  a.record.name = "a", b.record.name = "b";
  a.plan.front().loss = a.plan.front().validation_loss = "epsilon";
  b.plan.front().loss = b.plan.front().validation_loss = "flow, shift: 3";
  EXPECT_THAT(run_page(b, {}), AllOf(HasSubstr("flow, shift: 3"), Not(HasSubstr("different kinds"))));
  EXPECT_THAT(comparison_page({a, b}, {}),
              AllOf(HasSubstr("different kinds"), HasSubstr("(a: epsilon; b: flow, shift: 3)"),
                    HasSubstr("Compare images or scores")));
  b.plan.front() = a.plan.front();
  EXPECT_THAT(comparison_page({a, b}, {}), Not(HasSubstr("different kinds")));
  b.plan.front().loss = "epsilon, loss_weighting: p2";
  EXPECT_THAT(comparison_page({a, b}, {}),
              AllOf(HasSubstr("different kinds"), HasSubstr("validation losses are of one kind")));
}

// Scores have their number of images in the title, and runs whose scores were computed in another way are not compared.
TEST_F(Page, ShowsScoresWithWhatTheyDependOn) {
  put_run();
  put("events.jsonl", event("text", 1, 1) +
                          R"({"stage":"text","step":1,"metric_fid":40.5,"metric_images":500})"
                          "\n"
                          R"({"stage":"text","step":2,"metric_fid":30.5,"metric_images":500})"
                          "\n");
  ReportedRun a = reported(), b = reported();
  a.record.name = "a", b.record.name = "b";
  a.plan.front().metrics = b.plan.front().metrics = "clean resize, ddim, 20 steps, guidance 4.5";
  EXPECT_THAT(run_page(a, {}), AllOf(HasSubstr("FID (500 images)"), HasSubstr("clean resize, ddim, 20 steps"),
                                     Not(HasSubstr("metric_fid")), Not(HasSubstr("metric_images"))));
  EXPECT_THAT(comparison_page({a, b}, {}), AllOf(HasSubstr("FID"), Not(HasSubstr("in different ways"))));
  b.plan.front().metrics = "pytorch resize, ddim, 20 steps, guidance 4.5";
  EXPECT_THAT(comparison_page({a, b}, {}),
              AllOf(HasSubstr("in different ways"), HasSubstr("b: pytorch resize")));
}

// Runs of the same name are told apart by their folders.
TEST_F(Page, ComparesRunsOfTheSameName) {
  put("a/x/run.yaml", "");
  put("b/x/run.yaml", "");
  const std::string page =
      comparison_page({{.record = read_run(folder_ / "a/x")}, {.record = read_run(folder_ / "b/x")}}, {});
  EXPECT_THAT(page, AllOf(HasSubstr("a/x</th>"), HasSubstr("b/x</th>")));
}

TEST_F(Page, SaysWhichLossIsUsual) {
  put_run();
  ReportedRun run = reported();
  EXPECT_THAT(run_page(run, {}), AllOf(HasSubstr("No usual loss is known for the settings of stage text."),
                                       Not(HasSubstr("class=\"band\""))));
  run.plan.front().usual_loss = {
      .bands = {{100, 300, 0.1, 0.2}}, .source = "somebody & others", .verdict = "The mean is above <0.2>."};
  EXPECT_THAT(run_page(run, {}),
              AllOf(HasSubstr("class=\"band\""), HasSubstr("usual, somebody &amp; others"),
                    HasSubstr("The mean is above &lt;0.2&gt;."), Not(HasSubstr("No usual loss"))));
  run.plan.clear();  // without run.yaml nothing is known of the setting
  EXPECT_THAT(run_page(run, {}), Not(HasSubstr("No usual loss")));
}

TEST_F(Page, MeanOfTheLastSteps) {
  put("events.jsonl", event("text", 1, 9) + event("text", 2, 1) + event("text", 3, 2));
  const auto run = read_run(folder_);
  EXPECT_DOUBLE_EQ(last_mean_loss(run.stages.front(), 2).value(), 1.5);
  EXPECT_DOUBLE_EQ(last_mean_loss(run.stages.front(), 100).value(), 4);
  EXPECT_FALSE(last_mean_loss({.name = "none"}, 2));
}

TEST_F(Page, ImagesKeepTheirLimit) {
  put_run();
  Image noise(256, 256);
  uint32_t state = 1;
  for (auto& value : noise.rgb) value = uint8_t((state = state * 1664525u + 1013904223u) >> 24);
  for (int step = 400; step < 1400; step += 100)
    formats::save_png(folder_ / fmt::format("samples/text/step-{:08}.png", step), noise);
  const ReportedRun run = reported();
  const size_t whole = run_page(run, {}).size(), none = run_page(run, {.image_bytes = 0}).size();
  const size_t cut = run_page(run, {.image_bytes = 100000}).size();
  EXPECT_LT(cut, none + 105000);
  EXPECT_GT(whole, cut + 100000);
}

}  // namespace
}  // namespace pixart::report
