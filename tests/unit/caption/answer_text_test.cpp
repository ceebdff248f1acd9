#include "answer_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "answer_rules.h"
#include "sentences.h"

namespace pixart::caption {
namespace {

using ::testing::HasSubstr;

const std::string kBall = "A red ball lies on a green lawn under a blue sky.";

CleanText cleaned(const std::string& text) { return clean_answer(text, Reasoning::kRemove); }

// The pattern with each {} replaced by the caption.
std::string around(std::string pattern) {
  for (size_t at; (at = pattern.find("{}")) != std::string::npos;) pattern.replace(at, 2, kBall);
  return pattern;
}

void expect_ball(const std::string& pattern, const std::string& what) {
  const auto result = cleaned(around(pattern));
  EXPECT_EQ(result.text, kBall) << pattern << " -> " << int(result.fault) << " " << result.detail;
  EXPECT_THAT(result.cleaned, ::testing::Contains(what)) << pattern;
}

// Opening and closing tags of many models.
const std::pair<const char*, const char*> kThoughtTags[] = {
    {"<think>", "</think>"},
    {"<thinking>", "</thinking>"},
    {"<thought>", "</thought>"},
    {"<reasoning>", "</reasoning>"},
    {"<REASONING>", "</REASONING>"},
    {"<reflection>", "</reflection>"},
    {"<scratchpad>", "</scratchpad>"},
    {"<analysis>", "</analysis>"},
    {"<seed:think>", "</seed:think>"},
    {"<longcat_think>", "</longcat_think>"},
    {"<mm:think>", "</mm:think>"},
    {"<inner_monologue>", "</inner_monologue>"},
    {"[THINK]", "[/THINK]"},
    {"\u25c1think\u25b7", "\u25c1/think\u25b7"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<|begin_of_thought|>", "<|end_of_thought|>"},
    {"<|think|>", "<|/think|>"},
    {"<unused94>thought\n", "<unused95>"},
    {"<think time=\"3 s\">", "</think>"},
    {"<Think>", "</Think>"},
    {"&lt;think&gt;", "&lt;/think&gt;"},
    {"<|channel>thought\n", "<channel|>"},
    {"<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"},
};

TEST(CleanAnswer, ThoughtsInTagsAreRemovedOrRefused) {
  for (const auto& [open, close] : kThoughtTags) {
    const std::string thoughts = "The user wants a text. I see a ball.";
    const std::string whole = std::string(open) + thoughts + close + "\n\n" + kBall;
    expect_ball(whole, "reasoning");
    const auto refused = clean_answer(whole, Reasoning::kReject);
    EXPECT_EQ(refused.fault, AnswerFault::kReasoning) << open;
    EXPECT_THAT(refused.detail, HasSubstr("reasoning parser"));
    EXPECT_EQ(refused.text, "");
    // The template wrote the beginning.
    if (std::string(open).find("channel") == std::string::npos)
      expect_ball(thoughts + close + kBall, "reasoning");
    EXPECT_EQ(cleaned(open + thoughts).fault, AnswerFault::kReasoning) << open << " without an end";
    EXPECT_EQ(cleaned(std::string(open) + thoughts + close).fault, AnswerFault::kReasoning)
        << open << " alone";
  }
}

TEST(CleanAnswer, SeveralNestedAndEmptyThoughts) {
  for (const char* text :
       {"<think></think>{}", "<think>\n\n</think>\n\n{}", "<think>a<think>b</think>c</think>{}",
        "<think>a</think><think>b</think>{}", "a</think>b</think>{}", "<think>a</think><answer>{}</answer>",
        "<think>a</think><answer>{}", "a</think><answer>\n{}\n</answer><|im_end|>",
        "<SUMMARY>s</SUMMARY><CAPTION>c</CAPTION><REASONING>r</REASONING><CONCLUSION>{}</CONCLUSION>",
        "<think>a</think><|begin_of_box|>{}<|end_of_box|>", "analysisThe user wants it.assistantfinal{}"})
    expect_ball(text, "reasoning");
}

TEST(CleanAnswer, ThoughtsWithoutTags) {
  for (const char* start : {"Okay, so the user wants a description.",
                            "The user is asking for a detailed caption.",
                            "Got it, let's look at the image.",
                            "Hmm, let me see. There is a ball",
                            "Thought process: I see a ball",
                            "**Reasoning:** first",
                            "Alright, let me think",
                            "We need to describe the image.",
                            "First, I need to look at it",
                            "Okay, let me look",
                            "Here is my thought process: x",
                            "Thinking: a ball",
                            "So, I need to describe this",
                            "Let me think step by step.",
                            "I should provide a caption",
                            "用户要求描述这张图片。",
                            "好的，用户想要一段描述。",
                            "嗯，让我仔细看看",
                            "Der Nutzer möchte eine Beschreibung",
                            "ユーザーは画像の説明を求めています",
                            "L'utilisateur demande une description"}) {
    EXPECT_EQ(cleaned(start).fault, AnswerFault::kReasoning) << start;
    expect_ball(std::string(start) + "\nMore of it.\n\n**Final answer:** {}", "reasoning");
  }
}

TEST(CleanAnswer, TokensOfTemplatesAreRemoved) {
  for (const char* text : {"{}<|im_end|>",
                           "{}<|im_end|>\n<|im_start|>user\nWhat else?<|im_end|>",
                           "<|im_start|>assistant\n{}<|im_end|>",
                           "{}<|eot_id|>",
                           "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
                           "{}</s>",
                           "<s>{}</s>",
                           "[INST] [/INST] {}</s>",
                           "{}<end_of_turn>",
                           "<start_of_turn>model\n{}<end_of_turn>",
                           "{}<end_of_utterance>",
                           "{}<|endoftext|>",
                           "{}<|end|>",
                           "<|assistant|>\n{}<|user|>\nNext",
                           "{}<\uff5cend\u2581of\u2581sentence\uff5c>",
                           "<\uff5cAssistant\uff5c>{}",
                           "<|vision_start|><|image_pad|><|vision_end|>{}",
                           "<image>\n{}",
                           "[IMG]{}[IMG_END]",
                           "{}<|END_OF_TURN_TOKEN|>",
                           "[gMASK]<sop>{}",
                           "{}<pad><pad>",
                           "{}<eos>",
                           "<loc0012><loc0100>{}",
                           "{}<|return|>",
                           "{}<|eom_id|>",
                           "{}<turn|>"})
    expect_ball(text, "token");
  EXPECT_EQ(cleaned("A <ref>dog</ref><box>(1,2),(30,40)</box> runs.").text, "A dog runs.");
  EXPECT_EQ(cleaned("<|im_end|>").fault, AnswerFault::kEmpty);
}

TEST(CleanAnswer, SpeakersAndFurtherTurns) {
  for (const char* text :
       {"assistant\n{}", "assistant\n\n{}", "ASSISTANT: {}", "Assistant: {}", "**Assistant:** {}", "AI: {}",
        "model\n{}", "### Response:\n{}", "### Assistant: {}", "Chatbot: {}"})
    expect_ball(text, "role");
  for (const char* text :
       {"{}\nUSER: What else?", "{}\n\nHuman: And now?", "{}\n### Human: Next", "{}\nASSISTANT: Another one",
        "{}assistant\n\nIt is red.", "{}\nuser\nWhat?", "{}\n\n### Instruction:\nGo on", "{}\n**User:** More",
        "{}\nsystem: x", "{}\nmodel\nAgain"})
    expect_ball(text, "next_turn");
}

TEST(CleanAnswer, WordsToTheUser) {
  for (const char* before : {"Sure! Here's a detailed description of the image:\n\n",
                             "Certainly! Below is a caption for the image: ",
                             "Here is the caption: ",
                             "Of course. ",
                             "**Image Description:**\n",
                             "Caption: ",
                             "Description of the image: ",
                             "Natürlich! Hier ist eine detaillierte Beschreibung des Bildes: ",
                             "Gerne! ",
                             "Beschreibung: ",
                             "Bien sûr ! Voici une description détaillée de l'image : ",
                             "¡Claro! Aquí tienes una descripción detallada: ",
                             "Por supuesto. ",
                             "当然！以下是对图片的详细描述：",
                             "好的，",
                             "描述：",
                             "もちろんです！以下は画像の説明です：",
                             "はい、",
                             "물론입니다! 다음은 이미지에 대한 설명입니다: ",
                             "Конечно! Вот подробное описание изображения: ",
                             "Certo! Ecco una descrizione dettagliata: ",
                             "Claro! Aqui está uma descrição: ",
                             "I'd be happy to describe the image. ",
                             "## Image description\n",
                             "Okay, here's a breakdown of the photo: ",
                             "Based on the image, here is a description: ",
                             "这张图片的详细描述如下：\n\n",
                             "Thank you for sharing this photo! "})
    expect_ball(std::string(before) + "{}", "preamble");
  for (const char* after : {"Let me know if you need more!",
                            "I hope this helps.",
                            "Would you like me to add more details?",
                            "Is there anything else you'd like to know?",
                            "Feel free to ask.",
                            "If you have any questions, feel free to ask!",
                            "If you'd like more details, let me know.",
                            "I'd be happy to help further.",
                            "Do you want a shorter version?",
                            "Lass mich wissen, ob du mehr brauchst.",
                            "Möchtest du mehr wissen?",
                            "Ich hoffe, das hilft!",
                            "N'hésitez pas à demander.",
                            "Souhaitez-vous plus de détails ?",
                            "¿Te gustaría saber más?",
                            "Espero que esto ayude.",
                            "希望这对您有帮助！",
                            "如果您需要更多信息，请告诉我。",
                            "他にご質問はありますか？",
                            "お気軽にお尋ねください。",
                            "Если вам нужно больше, дайте знать."})
    expect_ball(std::string("{}\n\n") + after, "closing");
  EXPECT_EQ(cleaned("Sure, the ball is red.").text, "The ball is red.");
}

TEST(CleanAnswer, FencesQuotesAndJson) {
  for (const char* text : {"```\n{}\n```",
                           "```text\n{}\n```",
                           "```markdown\n{}\n```",
                           "```{}```",
                           "~~~\n{}\n~~~",
                           "```\n{}",
                           "\"{}\"",
                           "\u201c{}\u201d",
                           "\u00ab{}\u00bb",
                           "{\"caption\": \"{}\"}",
                           "{\"description\": \"{}\", \"tags\": []}",
                           "```json\n{\"caption\": \"{}\"}\n```",
                           "[{\"caption\": \"{}\"}]",
                           "{\"text\": \"{}\"}",
                           "[\"{}\"]",
                           "{\"x\": \"{}\"}",
                           "Here is the caption:\n```\n{}\n```",
                           "Sure! \"{}\"",
                           "```json\n{\"detailed_caption\": \"{}\", \"n\": 1}\n```",
                           "```plaintext\n\n{}\n\n```",
                           "{\"response\": \"{}\", \"ok\": true}"})
    expect_ball(text, "fence");
  EXPECT_EQ(cleaned(R"({"tags": ["a"], "n": 1})").fault, AnswerFault::kBadText);
  EXPECT_EQ(cleaned(R"(["STOP"] on a red sign)").text, R"(["STOP"] on a red sign)");
}

TEST(CleanAnswer, LoopsAreNoticed) {
  const std::string pieces[] = {"a red ball, ",
                                "very ",
                                "The sky is blue and the lawn is green. ",
                                "ha",
                                "no no ",
                                "一个红色的球，",
                                "赤いボール、",
                                "in the background, ",
                                "- a ball\n",
                                "and then it rains; "};
  for (const auto& piece : pieces) {
    std::string text = "A lawn. ";
    for (int i = 0; i < 60; ++i) text += piece;
    EXPECT_EQ(cleaned(text).fault, AnswerFault::kLoop) << piece;
    EXPECT_EQ(cleaned(kBall + " " + text).fault, AnswerFault::kLoop) << piece;
  }
  std::string sentences;
  for (int i = 0; i < 5; ++i) sentences += "The lawn is green and wide. Item " + std::to_string(i) + ". ";
  EXPECT_TRUE(is_loop(sentences));
  for (const std::string& text :
       {kBall, std::string("very very very tall"), kBall + " " + kBall,
        std::string("Rows of chairs, rows of tables, rows of lamps and rows of people.")})
    EXPECT_FALSE(is_loop(text)) << text;
}

TEST(CleanAnswer, NoImageRefusalsAndCaptionsInManyLanguages) {
  for (const char* text : sentences::kNoImage) EXPECT_EQ(cleaned(text).fault, AnswerFault::kNoImage) << text;
  for (const char* text : sentences::kRefusals) {
    EXPECT_EQ(cleaned(text).fault, AnswerFault::kRefusal) << text;
    EXPECT_EQ(cleaned(std::string("Sure! **") + text + "**").fault, AnswerFault::kRefusal) << text;
  }
  for (const char* text : sentences::kCaptions) {
    EXPECT_EQ(cleaned(text).text, text);
    EXPECT_TRUE(cleaned(text).cleaned.empty()) << text;
  }
}

TEST(CleanAnswer, CaptionsWithBracketsAndQuotesStay) {
  for (const char* text :
       {"A sign that reads \"STOP\".", "A page with <html> on it.", "Three boxes: [a], [b] and [c].",
        "2 < 3 and 5 > 4 are on the board.", "\"Exit\" and \"Entry\" are written on two doors.",
        "The button [ OK ] is grey.", "The image shows a shop: fruit, bread and milk.",
        "An aisle at night & day.", "A heart <3 on a wall.", "**A bold title** above a ball.",
        "Sure-footed goats climb.", "A model stands still."})
    EXPECT_EQ(cleaned(text).text, text);
}

TEST(CleanAnswer, LongTextsTakeLittleTime) {
  const auto begin = std::chrono::steady_clock::now();
  for (const std::string piece : {"<think>", "</think>", "<", "[", "``` ", "\n", "a ", "<|im_end|>", "<box>",
                                  "\"", "&lt;", "no ", "i'm ", "user\n", "Sure! "}) {
    std::string text;
    while (text.size() < 50'000) text += piece;
    cleaned(text);
    is_loop(text);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(seconds.count(), 30);  // a quadratic search takes minutes
}

TEST(AnswerRules, EachHasAReasonAndAForm) {
  std::set<std::string> patterns;
  for (const auto& rule : answer_rules()) {
    EXPECT_NE(std::string(rule.reason), "");
    EXPECT_TRUE(patterns.insert(rule.pattern).second) << rule.pattern;
    EXPECT_FALSE(match_at(rule.kind, L"\u00a7", 0)) << to_string(rule.kind);  // compiles, and is not empty
  }
  EXPECT_GT(patterns.size(), 80u);
}

TEST(AnswerRules, WideTextComesBack) {
  for (const std::string text : {"a", "\u00e9\u4e00\U0001F600", ""}) EXPECT_EQ(to_utf8(to_wide(text)), text);
  EXPECT_EQ(to_utf8(to_wide("a\xFF")), "a\uFFFD");
  EXPECT_EQ(to_utf8(lowered(to_wide("\u00c9\u0418\u03a9A\u0160\u017b"))), "\u00e9\u0438\u03c9a\u0161\u017c");
}

}  // namespace
}  // namespace pixart::caption
