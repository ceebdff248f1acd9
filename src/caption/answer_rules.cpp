#include "answer_rules.h"

namespace pixart::caption {

namespace {

using enum RuleKind;

// Within a kind the first match counts. \w and \b know ASCII only.
const std::vector<AnswerRule> kRules = {
    // Tags around thoughts. An end has a slash, or "end" in its name (answer_text.cpp).
    {kReasoningTag, R"(\|?/?(?:\w+[:_-])*(?:think(?:ing)?|thoughts?|cot)(?:[:_-]\w+)*\|?(?:\s[^>]*)?)",
     "<think> (DeepSeek-R1, Qwen, GLM, Hunyuan), [THINK] (Mistral), Kimi-VL, <seed:think>, "
     "<|START_THINKING|> (Cohere), <|begin_of_thought|> (OpenThinker)"},
    {kReasoningTag,
     R"(\|?/?(?:\w+[:_-])*(?:reason(?:ing)?|reflect(?:ion)?|analysis|scratchpad|monologue|deliberation|)"
     R"(planning)(?:[:_-]\w+)*\|?(?:\s[^>]*)?)",
     "<reasoning> (LLaVA-CoT, GRPO recipes), <reflection> (Reflection), <scratchpad> (prompts for "
     "Claude)"},
    {kReasoningTag, R"(unused9[45])", "MedGemma: <unused94>thought ... <unused95>"},
    {kAnswerTag,
     R"(\|?/?(?:final[_-]|detailed[_-]|dense[_-]|image[_-])*(?:answer|caption|description|output|)"
     R"(response|conclusion|result|final)\|?)",
     "<answer> (Skywork-R1V, VLM-R1), <CONCLUSION> (LLaVA-CoT)"},
    {kAnswerTag, R"(\|(?:begin|end|start)(?:_of)?_(?:box|solution|response|text|answer)\|)",
     "<|begin_of_box|> (GLM-4.1V), <|begin_of_solution|> (OpenThinker), <|START_RESPONSE|> (Cohere). "
     "<|begin_of_text|> (Llama 3) is at the start of a text too"},

    // Tokens.
    {kInnerToken,
     R"(\|?/?(?:\w+[_-])*(?:im(?:age|g)s?|vision|video|audio|object|box|quad|points?|ref|bbox|region|)"
     R"(polygon)(?:[_-]\w+)*\d*\|?)",
     "places of images and boxes: <|vision_start|>, <|box_start|> (Qwen-VL), <image> (LLaVA), [IMG] "
     "(Pixtral)"},
    {kInnerToken,
     R"(/?(?:imagehere|image_?placeholder|img_context|quad|ref|box|p|phrase|grounding|)"
     R"(delimiter_of_multi_objects)(?:/)?)",
     "<ImageHere> (InternLM-XComposer), <phrase> (Kosmos-2), <ref> (Qwen-VL, DeepSeek-VL2)"},
    {kInnerToken,
     R"(loc_?\d+|seg\d+|patch_index_\d+|row_\d+_col_\d+|global-img|extra_id_\d+|unused\d+|)"
     R"(0x[0-9a-f]{2}|od)",
     "places: PaliGemma, Florence-2, Kosmos-2, SmolVLM; T5 and Gemma; bytes of SentencePiece"},
    {kInnerToken,
     R"(\|?(?:\w*pad\w*|\w*unk\w*|mask|cls|sep|bos|s|sop|gmask|startoftext|begin_of_text|)"
     R"(begin▁of▁sentence|no_?think)\|?)",
     "padding, unknown words and starts of texts"},
    {kInnerToken,
     R"(｜begin▁of▁sentence｜|｜[^｜]{0,30}(?:image|ref|det|grounding)[^｜]{0,30}｜|\|/?(?:ref|det|)"
     R"(grounding)\|)",
     "DeepSeek and DeepSeek-VL2, with bars of full width"},
    {kInnerToken, R"(/?(?:b|i|u|em|strong|span|div|h[1-6]|ul|ol|li)|br ?/?)",
     "HTML that models write for emphasis and lines"},
    {kTurnToken, R"(\|[^|<>]{1,40}\|)",
     "ChatML <|im_end|>, Llama 3 <|eot_id|>, Phi <|end|>, GLM <|user|>, GPT <|endoftext|>, Cohere "
     "<|END_OF_TURN_TOKEN|>"},
    {kTurnToken, R"(｜[^｜<>]{1,40}｜|\|[^|<>]{1,30}｜)", "DeepSeek <｜end▁of▁sentence｜>, <｜User｜>"},
    {kTurnToken,
     R"(/s|eos|eot|eod|eop|eom|end|(?:start|end)_of_(?:turn|utterance|text|sentence|image)|\|?turn\|?|)"
     R"(\|?channel\|?|im_end|im_start|endoftext)",
     "</s> (Llama 2, Mistral), <end_of_turn> (Gemma), <end_of_utterance> (SmolVLM), <eop> (GLM)"},
    {kTurnToken,
     R"(/?(?:assistant|user|system|human|bot|model|inst|instruction|sys|system_prompt|available_tools|)"
     R"(tool_calls?))",
     "[INST] (Mistral, Llama 2), <<SYS>>, <assistant>"},

    // Thoughts without tags.
    {kReasoningStart,
     R"((?:\*\*|#+ |_)*(?:(?:my |here's my |here is my )?(?:thinking|thought|reasoning|)"
     R"(chain of thought|internal monologue)(?: process)?|thoughts|analysis)(?:\*\*|_)* ?(?::|\n))",
     "models asked to think aloud; Granite: Here is my thought process:"},
    {kReasoningStart,
     R"((?:(?:okay|ok|alright|all right|so|hmm+|wait|got it|right|well|now|first)(?:,|\.|)"
     R"(\.\.\.)? )*(?:the user (?:wants|want|is asking|is requesting|asks|asked|has asked|has provided|)"
     R"(provided|would like|requested|needs|gave|sent|uploaded)|(?:i|we) (?:need|have|should|must|)"
     R"(ought)(?: to)? (?:describe|write|produce|analy[sz]e|provide|give|generate|look|create|figure|)"
     R"(think|start|come up|make sure|follow|consider|answer|respond)))",
     "Qwen, DeepSeek and GLM without the tag in front: Okay, so the user wants ..."},
    {kReasoningStart,
     R"((?:okay|ok|alright|all right|hmm+|wait|got it|so)(?:,|\.|\.\.\.)? (?:so,? )?(?:let me (?:think|)"
     R"(see|look|start|analy[sz]e|try|break|figure|examine|go)|let's (?:think|see|look|start|)"
     R"(analy[sz]e|tackle|break|figure|examine|go|describe)|i(?:'m| am) (?:looking|going|asked|)"
     R"(supposed)))",
     "GLM-4.1V and Qwen: Got it, let's look at ..."},
    {kReasoningStart,
     R"(let me (?:think|reason|work)(?: about| through| this| step)|let's (?:think|reason) (?:about|)"
     R"(through|step))",
     "chain-of-thought prompts"},
    {kReasoningStart,
     R"((?:好的|嗯|好|那么|首先)?(?:，|,|。|…)*(?:用户(?:要求|希望|想|让|需要|请求|问|给|上传|发)|我(?:现在)?需要(?:描述|分析|写|先|仔细)|)"
     R"(让我(?:来)?(?:想|看看|分析|仔细|先)))",
     "Chinese thoughts of DeepSeek and Qwen"},
    {kReasoningStart,
     R"((?:okay|ok|gut|also)?,? ?(?:der (?:nutzer|benutzer|user) (?:möchte|will|fragt|bittet)|)"
     R"(ich (?:muss|soll) (?:das bild |dieses bild )?(?:zuerst |zunächst )?(?:beschreiben|)"
     R"(analysieren))|l'utilisateur (?:veut|demande|souhaite)|el usuario (?:quiere|pide|solicita)|)"
     R"(пользователь (?:хочет|просит))",
     "the same in German, French, Spanish, Russian"},
    {kReasoningStart, R"(ユーザーは[^。]{0,60}(?:求めて|望んで|依頼して|欲しい|ほしい))",
     "the same in Japanese"},
    {kFinalLabel,
     R"((?:\*\*|#+ |_)*(?:here's my |here is my |my |the |so,? )?(?:final |revised |complete |)"
     R"(full )?(?:answer|caption|description|response|output|version|final text)(?:\*\*|_)* ?:(?:\*\*|)"
     R"(_)*)",
     "the label before the answer proper; Granite: Here is my response:"},
    {kFinalLabel,
     R"((?:\*\*)?(?:最终|最後の)?(?:答案|描述|回答|説明|说明)(?:\*\*)?(?:：|:)(?:\*\*)?|(?:\*\*)?(?:endgültige |)"
     R"(finale )?(?:antwort|beschreibung)(?:\*\*)? ?:(?:\*\*)?)",
     "the same in Chinese, Japanese, German"},

    // Speakers.
    {kRole,
     R"((?:#{1,4} ?|\*\*)?(?:ai )?(?:assistant|chatbot|gpt|bot|ai|助手|アシスタント|assistent)(?: response|)"
     R"( final)?(?:\*\*)? ?(?::|：|\n)(?:\*\*)?)",
     "the role that a chat template puts in front (Vicuna ASSISTANT:, ChatML without its tokens)"},
    {kRole, R"((?:model|response)\s*\n|#{1,4} ?(?:response|answer|output) ?:?)",
     "Gemma's role; Alpaca's ### Response:"},
    {kNextTurn, R"(\n\s{0,8}(?:#{1,4} ?|\*\*)?(?:user|human|assistant|system|instruction)(?:\*\*)? ?:)",
     "the model goes on with the next question itself (Vicuna, LLaVA)"},
    {kNextTurn, R"(\n\s{0,8}#{2,4} ?(?:user|human|assistant|instruction|input|question)\b)",
     "the same, Alpaca's headings"},
    {kNextTurn, R"(\n\s{0,8}(?:user|assistant|model|human|system)\s{0,8}\n)",
     "the same, ChatML and Gemma without their tokens"},
    {kNextTurn, R"([.!?]\s{0,8}(?:assistant|user|model)\s{0,8}\n)",
     "Llama 3 without its tokens: lawn.assistant"},

    // Words to the user before the caption.
    {kPreamble,
     R"((?:sure|certainly|of course|absolutely|definitely|okay|ok|alright|all right|great|gladly|yes|)"
     R"(no problem|with pleasure|happy to help|understood|got it|hello|hi|(?:thank you|)"
     R"(thanks)(?: so much| very much)? for (?:sharing|providing|uploading|sending|your|)"
     R"(the @image)[^.!?:\n]{0,60})(?: thing| there| question)?(?:!|,|\.|:|…)+(?: |$))",
     "chat models, in English"},
    {kPreamble,
     R"((?:so,? )?(?:here's|here is|here are|here you go|below is|the following is|following is|)"
     R"(this is|what follows is)[^.!?\n:]{0,160}\b(?:description|caption|depiction|summary|overview|)"
     R"(breakdown|analysis|answer|prompt|details?|rewrite|version|response|alt[- ]text|)"
     R"(look)\b[^.!?\n:]{0,100}:)",
     "chat models: Here's a detailed description of the image:"},
    {kPreamble,
     R"((?:i'd|i would|i'll|i will|i can|let me|allow me to|let's)(?: gladly| happily| be happy to|)"
     R"( be glad to| love to| be delighted to)? (?:describe|help|assist|provide|write|give|break|)"
     R"(take a)[^.!?\n:]{0,160}(?::|[.!](?: |$)))",
     "chat models: I'd be happy to describe the image."},
    {kPreamble,
     R"((?:based on|according to|looking at|after (?:analy[sz]ing|examining|reviewing)) (?:the|this|)"
     R"(your)[^.!?\n:]{0,60}@image[^.!?\n:]{0,60}, (?:here's|here is|i can|below is)[^.!?\n:]{0,120}:)",
     "chat models: Based on the image, here is ..."},
    {kPreamble,
     R"((?:\*\*|#+ |__|\*)*(?:(?:detailed|image|dense|long|short|full|final|visual|photo|picture|)"
     R"(comprehensive|enhanced|revised) )*(?:description|caption|answer|output|)"
     R"(alt[- ]text)(?: of (?:the|this) @image)?(?:(?:\*\*|__|\*)* ?:(?:\*\*|__|\*)*|(?:\*\*|__)\s*\n))",
     "labels and headings: **Image description:**"},
    {kPreamble,
     R"(#+ ?(?:[^\n]{0,40})?(?:description|caption|beschreibung|descripción|描述|説明)[^\n]{0,40}\n)",
     "Markdown headings"},
    {kPreamble,
     R"((?:natürlich|gerne|gern|klar|selbstverständlich|sicher|aber gerne)(?:!|,|\.|:)+(?: |$)|)"
     R"((?:hier (?:ist|sind|kommt|folgt)|nachfolgend|im folgenden)[^.!?\n:]{0,160}:|(?:detaillierte |)"
     R"(ausführliche )?(?:bild)?(?:beschreibung|unterschrift)(?: des bildes)? ?:)",
     "German"},
    {kPreamble,
     R"((?:bien sûr|bien entendu|certainement|volontiers|d'accord|avec plaisir|absolument) ?(?:!|,|\.|)"
     R"(:)+(?: |$)|voici[^.!?\n:]{0,160}:|(?:description|légende)(?: détaillée)?(?: de l'image)? ?:)",
     "French"},
    {kPreamble,
     R"(¡?(?:claro(?: que sí)?|por supuesto|desde luego|con gusto|entendido|de acuerdo)(?:!|,|\.|)"
     R"(:)+(?: |$)|(?:aquí (?:tienes|está|va|tiene)|a continuación|esta es)[^.!?\n:]{0,160}:|)"
     R"(descripción(?: detallada)?(?: de la imagen)? ?:)",
     "Spanish"},
    {kPreamble,
     R"((?:claro|com certeza|certamente|com prazer)(?:!|,|\.|:)+(?: |$)|(?:aqui (?:está|vai|tem)|segue|)"
     R"(a seguir)[^.!?\n:]{0,160}:|(?:descrição|legenda)(?: detalhada)?(?: da imagem)? ?:)",
     "Portuguese"},
    {kPreamble,
     R"((?:certo|certamente|naturalmente|volentieri)(?:!|,|\.|:)+(?: |$)|(?:ecco|)"
     R"(di seguito)[^.!?\n:]{0,160}:|(?:descrizione|didascalia)(?: dettagliata)?(?: dell'immagine)? ?:)",
     "Italian"},
    {kPreamble,
     R"((?:natuurlijk|zeker|graag)(?:!|,|\.|:)+(?: |$)|hier is[^.!?\n:]{0,160}:|oczywiście(?:!|,|\.)+ |)"
     R"(oto[^.!?\n:]{0,160}:|конечно(?:!|,|\.)+ |вот[^.!?\n:]{0,160}:|описание(?: изображения)? ?:)",
     "Dutch, Polish, Russian"},
    {kPreamble,
     R"((?:当然|當然|好的|没问题|沒問題|可以)(?:可以)?(?:！|，|。|!|,|：|:)+|(?:以下|下面|这|這|这里|這裡)(?:就)?(?:是|)"
     R"(为)[^。\n：:]{0,60}(?:描述|说明|說明|介绍|解释|文字)[^。\n：:]{0,20}(?:：|:)|(?:这|這|该|此|张|張|幅|图片|图像|圖片|照片|)"
     R"(详细|的)*(?:描述|说明|說明|介绍)如下(?:：|:)|(?:图片|图像|圖片|详细|的)*(?:描述|说明|標題|)"
     R"(标题)(?:：|:))",
     "Chinese"},
    {kPreamble,
     R"((?:はい|もちろん(?:です)?|承知(?:しました|いたしました)|かしこまりました|わかりました)(?:！|、|。|!|,)+|(?:以下|こちら|これ)(?:は|が|)"
     R"(に)[^。\n：:]{0,60}(?:説明|描写|キャプション)[^。\n：:]{0,20}(?:：|:|。)|(?:画像の)?(?:詳細な)?(?:説明|キャプション)(?:：|:))",
     "Japanese"},
    {kPreamble,
     R"((?:물론(?:입니다|이죠)?|네|알겠습니다)(?:!|,|\.)+ ?|(?:다음은|아래는|여기)[^.!?\n:]{0,80}(?:설명|)"
     R"(캡션)[^.!?\n:]{0,30}(?::|\.)|(?:이미지 )?설명 ?:)",
     "Korean"},

    // A sentence to the user at the end.
    {kClosing,
     R"((?:please |just |do )?(?:let me know|feel free)\b|(?:i )?hope (?:this|that|it) (?:helps|)"
     R"(is helpful|meets)|(?:would|do|shall|should) (?:you|i) (?:like|want|need|prefer|also|elaborate|)"
     R"(provide)\b|(?:is|are) there (?:anything|any other|something) )",
     "chat models, in English"},
    {kClosing,
     R"(if you(?:'d| would|'re| are| have| need| want)[^.!?\n]{0,200}(?:let me know|ask|help|assist|)"
     R"(feel free|happy|glad)|(?:i'd|i would|i can|i could|i'm|i am)(?: also)? (?:be )?(?:happy|glad|)"
     R"(here|able) to (?:help|assist|provide|answer)|thank you for|thanks for)",
     "chat models, in English"},
    {kClosing,
     R"((?:lass|lassen sie) (?:es )?mich wissen|(?:möchtest du|möchten sie|soll ich|benötigst du|)"
     R"(benötigen sie|brauchst du)\b|ich hoffe,? (?:das|dies|diese)|(?:wenn|falls) (?:du|sie) )",
     "German"},
    {kClosing,
     R"((?:n'hésitez pas|n'hésite pas|souhaitez-vous|voulez-vous|souhaites-tu|j'espère que|avez-vous|)"
     R"(si vous (?:avez|souhaitez|voulez))|¿?(?:te|le) gustaría|¿?(?:quieres|necesitas|necesita|deseas|)"
     R"(desea) |avísame|hazme saber|no dudes|espero que|si (?:necesitas|quieres|tienes|desea)|gostaria|)"
     R"(deseja|se precisar|me avise|fammi sapere|vuoi che|spero che)",
     "French, Spanish, Portuguese, Italian"},
    {kClosing,
     R"((?:希望(?:这|這|以上|对)|如果(?:您|你)|如(?:您|有|需)|请(?:告诉我|随时)|請(?:告訴|隨時)|需要我|您(?:还|想|需要)|还有(?:什么|其他))|)"
     R"((?:他に|ほかに|何か|ご質問|ご希望|お気軽|必要であれば|お役に立)|(?:혹시|더 궁금|더 필요|도움이|추가로|원하시면)|(?:если (?:вам|у вас|)"
     R"(хотите)|надеюсь|хотите|дайте знать))",
     "Chinese, Japanese, Korean, Russian"},

    // No image was seen: the model or the server dropped it.
    {kNoImage,
     R"((?:i|we) (?:@quite )?(?:don't|do not|didn't|did not|can't|cannot|can not|couldn't|could not|)"
     R"(haven't|have not|'m not able to|am not able to|'m unable to|am unable to|'m not|am not|)"
     R"(lack the ability to)(?: actually| currently| yet| directly| physically| have| (?:the )?ability|)"
     R"( capability| to)* (?:see|seeing|find|view|viewing|receive|received|have|been given|detect|)"
     R"(access|get|perceive|notice|open|load|display|process|analy[sz]e|interpret|look at|)"
     R"(been provided)(?: or \w+)?(?: access| ability| (?:to|with|at|for))*(?: (?:an?y?|the|your|that|)"
     R"(this|actual|attached|uploaded|specific|visual|provided|external|to))* (?:@image|visual))",
     "text-only models, and servers without the part that reads images"},
    {kNoImage,
     R"(there(?: is|'s| was| are| seems to be| appears to be| doesn't seem to be| isn't| is not)(?: no|)"
     R"( not| an?y?)* @image (?:\w+ ){0,3}(?:attached|provided|included|uploaded|given|shared|here|)"
     R"(in (?:your|the|this|our) (?:message|prompt|request|conversation|chat|query|question)|)"
     R"(to (?:describe|analy[sz]e)|for me))",
     "the same"},
    {kNoImage,
     R"(no @image(?: file| data| content| input)?(?: (?:has|have|was|were|is|are|been|be|seems|appears|)"
     R"(to|actually|yet))* (?:provided|attached|included|uploaded|received|given|supplied|shared|)"
     R"(detected|describe))",
     "the same"},
    {kNoImage,
     R"((?:it|there) (?:looks|seems|appears)(?: like| that| as (?:if|though)|)"
     R"( to me)*[^.!?]{0,60}(?:@image|attachment|upload|link)[^.!?]{0,40}(?:didn't|did not|hasn't|)"
     R"(has not|wasn't|was not|weren't|failed|missing|not (?:been )?(?:attached|uploaded|provided|)"
     R"(included|shared|loaded|displayed|received)|couldn't|could not))",
     "the same: It seems the image did not load"},
    {kNoImage,
     R"((?:it (?:looks|seems|appears)(?: like| that| as (?:if|though))* )?(?:you|your (?:message|)"
     R"(request|prompt|question)) (?:@quite )?(?:haven't|have not|didn't|did not|hasn't|has not|)"
     R"(doesn't|does not|forgot|may have forgotten|might have forgotten)[^.!?]{0,40}@image)",
     "the same: You have not attached an image"},
    {kNoImage,
     R"(it (?:looks|seems|appears)(?: like| that| as (?:if|though))* (?:there (?:is|was|are|)"
     R"('s) )?no @image)",
     "the same"},
    {kNoImage,
     R"((?:the|your|this) (?:@image|link|url|attachment|file)(?: link| file| url|)"
     R"( data)? (?:you (?:\w+ ){1,3})?(?:didn't|did not|hasn't|wasn't|isn't|is not|was not|has not|)"
     R"(have not|failed to|cannot be|can't be|could not be|couldn't be|does not|doesn't)(?: been| seem|)"
     R"( appear| to| be| successfully| properly| fully)* (?:load|upload|attach|come through|display|)"
     R"(provided|included|accessible|received|open|rendered|transmitted|retrieved|accessed))",
     "the same: The image did not come through"},
    {kNoImage,
     R"((?:(?:could|can|would|will) you |please |kindly |try )+(?:please |kindly )?(?:re-?)?(?:upload|)"
     R"(attach|provid|shar|send|includ|supply|past|insert)\w*[^.?!]{0,50}(?:@image|link|file|)"
     R"(attachment))",
     "the same: Please upload the image"},
    {kNoImage,
     R"((?:as|since i'm|because i'm|i'm|i am)(?: just| only|)"
     R"( currently)? an? (?:\w+ ){0,2}text[- ](?:based|only))",
     "text-only models: As a text-based model"},
    {kNoImage,
     R"((?:as|since|because|i'm|i am) [^.!?]{0,80}(?:can't|cannot|can not|don't|do not|unable|not able|)"
     R"(not capable|no ability|lack|not equipped)[^.!?]{0,60}(?:see|seeing|view|viewing|perceive|)"
     R"(access|process|analy[sz]e|interpret|look|open|receive)[^.!?]{0,40}@image)",
     "text-only models: As an AI I cannot see images"},
    {kNoImage,
     R"((?:(?:leider )?(?:kann|sehe|habe) ich|ich (?:sehe|kann|habe|erkenne|konnte|)"
     R"(finde))[^.!?]{0,60}(?:kein|nicht)[^.!?]{0,30}(?:bild|foto)\b(?! beschreiben|)"
     R"( nicht beschreiben)|(?:es (?:wurde|ist|scheint)|leider (?:wurde|ist))[^.!?]{0,60}kein(?: bild|)"
     R"( foto)[^.!?]{0,30}|(?:bitte|könntest du|könnten sie|können sie|)"
     R"(kannst du)(?=[^.!?]{0,90}(?:bild|foto))[^.!?]{0,90}(?:lade|hoch|schick|send|teil|bereit|anhäng|)"
     R"(verfügung|häng))",
     "German"},
    {kNoImage,
     R"(je ne (?:vois|trouve|reçois|dispose)[^.!?]{0,20}(?:pas|aucune)[^.!?]{0,30}(?:image|photo)|)"
     R"(je (?:ne (?:peux|puis|parviens|suis)|n'ai)[^.!?]{0,20}(?:pas|aucune)[^.!?]{0,30}(?:voir|reçu|)"
     R"(vu|accès|accéder|visualiser|afficher|ouvrir|charger|consulter)[^.!?]{0,30}(?:image|photo)|)"
     R"(aucune (?:image|photo)[^.!?]{0,30}(?:été|fourni|joint|trouv|télécharg)|)"
     R"(il semble[^.!?]{0,60}(?:aucune (?:image|photo)|(?:image|photo)[^.!?]{0,40}(?:pas|manqu))|)"
     R"((?:pourriez-vous|pouvez-vous|veuillez|peux-tu|pourrais-tu|merci de)[^.!?]{0,40}(?:télécharger|)"
     R"(joindre|fournir|partager|envoyer)[^.!?]{0,40}(?:image|photo))",
     "French"},
    {kNoImage,
     R"(no (?:veo|puedo (?:ver|acceder)|encuentro|he recibido|recibí|se ha|se adjunt|)"
     R"(tengo acceso)[^.!?]{0,40}(?:imagen|imágenes|foto)|no hay ninguna (?:imagen|)"
     R"(foto)[^.!?]{0,20}(?:adjunt|proporcion)|parece que[^.!?]{0,60}(?:no|olvid)[^.!?]{0,40}(?:imagen|)"
     R"(foto)|parece que la imagen no|¿?(?:por favor|podrías|podría|puedes|puede),?[^.!?]{0,20}(?:sub|)"
     R"(adjunt|proporcion|compart|envi|carg)[^.!?]{0,30}(?:imagen|foto))",
     "Spanish"},
    {kNoImage,
     R"((?:eu )?não (?:vejo|consigo (?:ver|visualizar)|recebi|encontrei|foi)[^.!?]{0,30}(?:imagem|)"
     R"(imagens|foto)|(?:por favor|poderia|pode),?[^.!?]{0,20}(?:envi|carreg|anex|compartilh|)"
     R"(fornec)[^.!?]{0,30}(?:imagem|foto)|non (?:vedo|riesco a vedere|ho ricevuto|)"
     R"(posso vedere)[^.!?]{0,30}(?:immagin|foto)|(?:per favore|potresti|puoi|)"
     R"(potrebbe),?[^.!?]{0,20}(?:caric|alleg|invi|forni|condivid)[^.!?]{0,30}(?:immagin|foto))",
     "Portuguese, Italian"},
    {kNoImage,
     R"((?:我|您|你|似乎|看起来|看来|看起來|抱歉)[^。！？]{0,20}(?:没有|沒有|没|无法|無法|未|看不到|不能)[^。！？]{0,16}(?:看|收到|查看|上传|上傳|)"
     R"(提供|访问|发送|附|接收|见)[^。！？]{0,12}(?:图片|圖片|图像|圖像|照片|图|圖)|(?:没有|沒有|未)(?:收到|检测到|看到|提供|上传|找到|)"
     R"(发现)[^。！？]{0,12}(?:图|圖|照片)|(?:图片|图像|照片)(?:似乎)?(?:没有|未)(?:能|成功)*(?:上传|加载|显示)|请(?:您|你)?(?:重新|先|)"
     R"(再次)?(?:上传|提供|发送|分享)[^。！？]{0,16}(?:图|照片)|請(?:您|你)?(?:重新|先)?(?:上傳|提供|發送|分享)[^。！？]{0,16}(?:圖|照片))",
     "Chinese"},
    {kNoImage,
     R"([^。！？]{0,20}(?:画像|写真)(?:ファイル)?(?:が|を)[^。！？]{0,14}(?:添付されていない|添付されていません|見えません|見えない|見ることができ|)"
     R"(見ることはでき|閲覧|表示されません|表示されていません|ありません|見当たりません|提供されていません|アップロードされていません|アップロードされていない|届いていません|)"
     R"(受け取っていません|受け取れ)|画像を[^。！？]{0,16}(?:アップロード|添付|提供|共有|送信|お送り)[^。！？]{0,16}(?:ください|いただけ|お願い))",
     "Japanese"},
    {kNoImage,
     R"((?:[^.!?]{0,20} )?(?:이미지|사진|그림)(?:가|이)[^.!?]{0,24}(?:보이지 않|없습니다|첨부되지|업로드되지|제공되지)|(?:이미지|사진|)"
     R"(그림)(?:를|을)[^.!?]{0,8}(?:볼 수 없|받지 못|열 수 없)|(?:이미지|사진)(?:를|을)[^.!?]{0,20}(?:업로드|첨부|제공|공유|)"
     R"(보내)[^.!?]{0,10}(?:주세요|주시|주실|바랍니다))",
     "Korean"},
    {kNoImage,
     R"((?:я )?не (?:вижу|могу (?:увидеть|видеть|просматривать|просмотреть)|получил|)"
     R"(нахожу)[^.!?]{0,30}(?:изображени|картин|фото)|(?:изображение|картинка|)"
     R"(фото) не [^.!?]{0,30}(?:загру|прикреп|предостав|отправ)|пожалуйста,?[^.!?]{0,30}(?:загруз|)"
     R"(прикреп|отправ|предостав)[^.!?]{0,30}(?:изображени|картин|фото)|nie widzę[^.!?]{0,30}(?:obraz|)"
     R"(zdjęci)|ik (?:zie|kan)[^.!?]{0,40}geen[^.!?]{0,20}(?:afbeelding|foto))",
     "Russian, Polish, Dutch"},

    // Refusals.
    {kRefusal,
     R"((?:i'm|i am|we're|we are)(?: so| very| really| truly| terribly| deeply)? (?:sorry|afraid)\b)",
     "English"},
    {kRefusal,
     R"((?:so |very )?sorry(?:,|\.|!|;| but| i\b|$)|(?:my |sincere |please accept my |)"
     R"(our )*apologies(?:,|\.|!|;| but| for| i\b|$)|(?:i|we) (?:do |sincerely |must |)"
     R"(really )?apologi[sz]e|forgive me)",
     "English"},
    {kRefusal,
     R"((?:i|we) (?:@quite )?(?:cannot|can not|can't|could not|couldn't|won't|will not|wouldn't|)"
     R"(would not|shouldn't|must (?:decline|refuse)|have to (?:decline|refuse)|need to (?:decline|)"
     R"(refuse)|decline|refuse|prefer not|would (?:rather|prefer) not)\b|i'd (?:rather|prefer) not|)"
     R"(i(?:'ll| will) have to (?:decline|pass|refuse))",
     "English"},
    {kRefusal,
     R"((?:i'm|i am|we're|we are) (?:@quite )?(?:unable|not able|not allowed|not permitted|)"
     R"(not in a position|not comfortable|uncomfortable|not going to|not willing|not authori[sz]ed|)"
     R"(prohibited|forbidden|not programmed|programmed|designed|not capable|incapable|just an?|)"
     R"(only an?|an ai|an artificial|a (?:large )?language model)\b)",
     "English"},
    {kRefusal,
     R"((?:i|we) (?:don't|do not)(?: really)? (?:have (?:the |any )?(?:ability|capability|permission|)"
     R"(access)|provide|describe|identify|engage|assist|support|think (?:i|it)|feel comfortable|wish|)"
     R"(want to))",
     "English"},
    {kRefusal,
     R"((?:as|being) an? (?:[\w-]+ ){0,4}(?:ai\b|a\.i\.|language model|llm\b|chatbot|)"
     R"(artificial intelligence|assistant(?:,| model| i\b)))",
     "English: As an AI language model"},
    {kRefusal,
     R"((?:unfortunately|regrettably|regretfully|sadly),? (?:i|we|my|this (?:request|content|@image)|)"
     R"(it(?:'s| is) not)\b)",
     "English"},
    {kRefusal,
     R"((?:this|the|your) (?:request|content|prompt|query|@image) (?:violates|goes against|)"
     R"(has been (?:blocked|flagged|rejected|filtered|removed)|was (?:blocked|flagged|rejected|)"
     R"(filtered|removed)|is against|is not (?:allowed|permitted|appropriate)|cannot be (?:described|)"
     R"(processed|fulfilled|completed)|can't be (?:described|processed|fulfilled)|)"
     R"(appears to (?:violate|contain (?:sensitive|explicit|inappropriate|sexual))))",
     "English"},
    {kRefusal,
     R"((?:it|that|this)(?:'s| is| would be| wouldn't be| isn't) (?:not )?(?:possible|appropriate|)"
     R"(inappropriate|ethical|unethical|against|something i)(?: for me| to describe| my| our| the| i|)"
     R"( can't| to)|(?:it|this) goes against|(?:due to|because of|per|following|under) (?:my|our|the|)"
     R"(safety|content) (?:\w+ ){0,3}(?:guidelines|polic(?:y|ies)|restrictions|rules)|my (?:guidelines|)"
     R"(programming|policies|safety))",
     "English"},
    {kRefusal,
     R"((?:\[|\()?(?:request|content|response|answer) (?:denied|blocked|refused|rejected|filtered|)"
     R"(removed|withheld|not available)|identifying (?:real )?(?:people|individuals|persons|)"
     R"(someone)[^.!?]{0,80}(?:not|against)|let's (?:talk about|discuss|change)|)"
     R"((?:i )?must respectfully)",
     "English"},
    {kRefusal,
     R"((?:es )?tut mir (?:sehr |wirklich |aufrichtig )?leid|entschuldig(?:ung|en|e)\b|verzeih|)"
     R"((?:leider|bedauerlicherweise)(?:,)? (?:kann|darf|bin|ist es|habe|muss|werde)|bedaure|)"
     R"(ich (?:bedaure|bedauere)|ich (?:kann|darf|möchte|werde|bin|habe|will)[^.!?]{0,70}(?:nicht|)"
     R"(keine[nmrs]?|außerstande)\b|ich muss [^.!?]{0,40}ablehnen|als (?:ki\b|ki-|)"
     R"(künstliche intelligenz|(?:großes )?sprachmodell|ai\b)|(?:diese|ihre|deine) (?:anfrage|)"
     R"(bitte)[^.!?]{0,60}(?:nicht|ablehnen|verst)|(?:dabei|das|damit) kann ich[^.!?]{0,20}nicht)",
     "German"},
    {kRefusal,
     R"((?:je suis |je )?(?:vraiment |sincèrement |profondément )?(?:désolée?|navrée?)|)"
     R"(je (?:vous prie de m'excuser|m'excuse|regrette|refuse|dois refuser|dois décliner)|)"
     R"((?:toutes )?mes excuses|veuillez m'excuser|pardon(?:,|\.)|je ne (?:peux|puis|suis|vais|)"
     R"(souhaite|pourrai|saurais)\b[^.!?]{0,24}|malheureusement|en tant qu(?:'|e )(?:ia\b|)"
     R"(intelligence artificielle|assistante?|modèle)|il m'est (?:impossible|interdit)|)"
     R"(je n'ai pas (?:la capacité|le droit|l'autorisation)|cette demande)",
     "French"},
    {kRefusal,
     R"((?:lo siento|lo lamento|disculp[ae]|perdón|perdona|mis disculpas|le pido disculpas|)"
     R"(pido disculpas)|(?:lamentablemente|desafortunadamente|por desgracia)|(?:yo )?no (?:puedo|)"
     R"(podemos|me es posible|soy capaz|me está permitido|estoy (?:autorizad|en condiciones|capacitad)|)"
     R"(tengo (?:la capacidad|permitido|permiso)|está permitido)|como (?:un |una )?(?:modelo|ia\b|)"
     R"(inteligencia artificial|asistente)|esta solicitud)",
     "Spanish"},
    {kRefusal,
     R"((?:me )?desculp[ea]|lamento|sinto muito|peço desculpas|infelizmente|(?:eu )?não (?:posso|)"
     R"(consigo|me é possível|é possível|estou autorizad|tenho permissão)|como (?:um |uma )?(?:modelo|)"
     R"(ia\b|assistente|inteligência)|mi (?:dispiace|scuso|spiace)|spiacente|purtroppo|)"
     R"((?:io )?non (?:posso|sono in grado|mi è possibile|riesco)|(?:in quanto|come) (?:ia\b|modello|)"
     R"(intelligenza|assistente))",
     "Portuguese, Italian"},
    {kRefusal,
     R"((?:het )?spijt me|helaas|ik (?:kan|mag|ben|wil|zal)[^.!?]{0,60}(?:niet|geen)\b|als (?:ai|)"
     R"(taalmodel)|(?:bardzo )?przepraszam|przykro mi|niestety|nie (?:mogę|jestem w stanie)|)"
     R"(jako (?:ai\b|model|sztuczna)|omlouvám se|bohužel|je mi líto|nemohu|üzgünüm|maalesef|)"
     R"(özür dilerim|(?:jag är |jeg er )?(?:ledsen|beklager)|tyvärr|desværre|dessverre|jag kan (?:inte|)"
     R"(tyvärr)|jeg kan (?:ikke|desværre)|valitettavasti|sajnálom|îmi pare rău|din păcate)",
     "Dutch, Polish, Czech, Turkish, Nordic, Finnish, Hungarian, Romanian"},
    {kRefusal,
     R"((?:извините|извини|простите|прошу прощения|к сожалению|мне (?:очень )?жаль|сожалею|)"
     R"(приношу извинения)|я не (?:могу|в состоянии|имею|буду)|как (?:ии\b|языковая модель|)"
     R"(искусственный)|вибачте|на жаль|я не можу|съжалявам|λυπάμαι|συγγνώμη|δυστυχώς)",
     "Russian, Ukrainian, Bulgarian, Greek"},
    {kRefusal,
     R"((?:我)?(?:非常|很|十分|真的|深感)?(?:抱歉|对不起|對不起|不好意思|遗憾|遺憾)|(?:我|本模型|我们)(?:真的|暂时|目前|现在|恐怕)?(?:无法|無法|不能|)"
     R"(不可以|没办法|沒辦法|没有办法|拒绝|不便|不会|没有能力|不应|不適合|不适合|做不到)|(?:无法|無法|不能)(?:描述|提供|回答|满足|处理|識別|识别|协助|完成|分析|对|)"
     R"(為|为)|作为(?:一个|一名|一款|一种)?[^。！？]{0,16}(?:ai|人工智能|语言模型|助手)|身為[^。！？]{0,12}(?:ai|人工智慧|語言模型|助手)|(?:您|)"
     R"(你)的(?:请求|问题|要求|提问|請求)[^。！？]{0,20}(?:违反|不符|无法|不合|無法)|(?:该|此|这张|这个)(?:内容|图片|请求|问题|)"
     R"(图像)[^。！？]{0,12}(?:违规|违反|敏感|无法(?:描述|处理|提供))|根据(?:相关|有关)?(?:法律|规定|政策|内容))",
     "Chinese"},
    {kRefusal,
     R"((?:大変|誠に|まことに)?(?:申し訳|もうしわけ|すみません|すいません|ごめんなさい|恐れ入りますが|恐縮ですが|残念ながら|あいにく|お詫び)|(?:私は|私には|その|この|ご|)"
     R"(お|ai)?[^。！？]{0,40}(?:説明|描写|お手伝い|お答え|お応え|対応|回答|記述|提供|特定|支援|協力|お話し)(?:する|を行う|を提供する)?(?:こと)?(?:が|)"
     R"(は|も|に)?(?:できません|できかねます|いたしかねます|応じられません|応じることはできません|お断り|控え)|(?:私は)?(?:ai|人工知能|)"
     R"((?:大規模)?言語モデル)(?:アシスタント|モデル)?(?:として|なので|であるため|のため|ですので))",
     "Japanese"},
    {kRefusal,
     R"((?:정말 |대단히 )?(?:죄송|미안|유감)|(?:아쉽게도|안타깝게도)|(?:저는 |제가 |해당 |이 )?[^.!?]{0,40}(?:설명|묘사|도움|답변|제공|도와|)"
     R"(식별|확인)[^.!?]{0,8} 수 없습니다|ai (?:언어 )?(?:모델|어시스턴트)(?:로서|이기|이므로))",
     "Korean"},
    {kRefusal,
     R"((?:عذرا|عذرًا|آسف|أنا آسف|أعتذر|للأسف|لا يمكنني|لا أستطيع)|(?:क्षमा करें|माफ़ करें|माफ करें|)"
     R"(माफ़ कीजिए|मुझे खेद है|मुझे माफ़)|(?:tôi )?(?:rất )?(?:xin lỗi|rất tiếc)|tôi không thể|)"
     R"((?:mohon )?maaf|saya tidak (?:dapat|bisa)|sayangnya|(?:ขออภัย|ขอโทษ|ไม่สามารถ|ฉันไม่สามารถ)|)"
     R"(סליחה|אני מצטער|אינני יכול|متأسفم)",
     "Arabic, Hindi, Vietnamese, Indonesian, Thai, Hebrew, Persian"},
};

}  // namespace

const std::vector<AnswerRule>& answer_rules() { return kRules; }

}  // namespace pixart::caption
