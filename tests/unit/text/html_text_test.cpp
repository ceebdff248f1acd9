#include "html_text.h"

#include <gtest/gtest.h>

#include "html_soup.h"

namespace pixart::text {
namespace {

TEST(HtmlText, TagsGoTextStays) {
  EXPECT_EQ(html_text("<p>one</p><p class='a>b'>two<br/>three"), "onetwothree");
  EXPECT_EQ(html_text("plain"), "plain");
  EXPECT_EQ(html_text(""), "");
}

TEST(HtmlText, ScriptsStylesAndRubyAreHidden) {
  EXPECT_EQ(html_text("a<script>if (1 < 2) {}</script>b<style>x</style>c<template><b>t</b></template>d"),
            "abcd");
  EXPECT_EQ(html_text("<ruby>x<rt>y</rt></ruby>z"), "xz");
  EXPECT_EQ(html_text("a<script>never closed"), "a");
}

TEST(HtmlText, CommentsDeclarationsAndCdata) {
  EXPECT_EQ(html_text("<!-- a --><!doctype html><?php x ?>b<![CDATA[c]]><![if x]>d"), "bcd");
  EXPECT_EQ(html_text("<rt><![CDATA[c]]></rt>"), "c");
  EXPECT_EQ(html_text("x<![CDATA[]]>y"), "x y");           // an empty section counts as one space
  EXPECT_EQ(html_text("<![unknown[ x"), "<![unknown[ x");  // refused by html.parser
}

TEST(HtmlText, WhatIsNoMarkupStays) {
  EXPECT_EQ(html_text("3 < 5 and a <3 b"), "3 < 5 and a <3 b");
  EXPECT_EQ(html_text("<unclosed cat"), "<unclosed cat");
  EXPECT_EQ(html_text("cat <"), "cat <");
  EXPECT_EQ(html_text("a</>b</ >c"), "abc");
}

TEST(HtmlText, References) {
  EXPECT_EQ(html_text("&lt;b&gt; &eacute &unknown; &#65 &#150; &"), "<b> é &unknown A – &");
  EXPECT_EQ(html_text("&#; <b>x</b> &#; <i>y</i>"),
            "&#; x &#; <i>y</i>");  // the second "&#;" ends the parser's work
}

TEST(HtmlText, BlankStringsCollapseOutsidePre) {
  EXPECT_EQ(html_text("<b>\t  </b>a<b> \n </b><pre>  </pre>"), " a\n  ");
}

TEST(HtmlText, ManyUnfinishedTagsEndInTime) {
  std::string text;
  for (int i = 0; i < 30'000; ++i) text += "<a ";
  EXPECT_EQ(html_text(text), text);
}

TEST(HtmlSoup, EndTagsCloseWhatIsOpen) {
  HtmlSoup soup;
  soup.start_tag("script", false);
  soup.data("hidden");
  soup.end_tag("b");  // nothing of that name is open
  soup.data("still hidden");
  soup.end_tag("script");
  soup.data("shown");
  EXPECT_EQ(soup.finish(), "shown");
}

}  // namespace
}  // namespace pixart::text
