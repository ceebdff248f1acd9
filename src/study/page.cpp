#include "page.h"

#include "page_script.h"

namespace pixart::study {

PageScript page_script(const std::string& post) {
  PageScript script{.script = kStudyScript, .connects_home = true, .connect_to = post};
  content_policy(script);  // refuses an address that cannot be in it
  return script;
}

std::string study_page(const nlohmann::ordered_json& plan) {
  std::string body(kStudyBody);
  const auto text = plan.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  body += "<script type=\"application/json\" id=\"plan\">" + json_for_html(text) + "</script>\n";
  return html_page(plan.at("title").get<std::string>(), body, kStudyStyle, page_script(plan.at("post")));
}

}  // namespace pixart::study
