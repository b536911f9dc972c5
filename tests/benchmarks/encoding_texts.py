"""Sentences in many languages, written for the benchmark of encodings: some to develop with, some held out."""

from __future__ import annotations

DEVELOPMENT: dict[str, str] = {
    "en": """The committee’s report says “costs rose” – see page 5… It is the chair’s view that €500 is enough.
Set the boiler to 80 °C and wait; the tolerance is ± 2 °C. See § 12 of the Act and § 14 of the Rules.
Copyright © 2019 Example Corp. All rights reserved. The café’s naïve résumé of the fiancée cost £40.
The engineer checked each valve twice before the pressure test began, and nobody was hurt.""",
    "de": """Die Größe der Lieferung wird am Mittwoch überprüft. Für die Prüfung ist Frau Müller zuständig.
Ein schöner Vogel saß über der Tür und ließ sich nicht stören. Das Gerät muß jährlich gewartet werden.
Bitte füllen Sie das Formular vollständig aus und schicken Sie es zurück. Die Kündigungsfrist beträgt drei Monate.
Öl und Kühlwasser prüfen, dann die Schläuche säubern.""",
    "fr": """L’été dernier, nous avons étudié les règles de sécurité à l’usine. Les résultats sont très élevés.
Où est passée la clé ? Elle était près de l’entrée, derrière le vieux fauteuil. Ça dépend de la météo.
Le garçon a mangé un gâteau aux œufs et bu du thé glacé. Nous espérons être payés à la fin de l’année.
Dès que le contrôleur a terminé, la pièce est envoyée à l’atelier.""",
    "es": """El niño pequeño soñó con una montaña de azúcar. ¿Cuándo llegará el próximo tren a la estación?
La reunión empezará mañana a las diez; habrá café y también té. El técnico revisó el cañón de calefacción.
Según el informe, la producción creció más rápido este año. ¡Qué sorpresa más agradable!
Después de la inspección, él firmó la autorización.""",
    "it": """La città è più bella quando c’è il sole. Perché non venite a trovarci lunedì o martedì?
Il caffè della stazione è già aperto, però il tè non è buono. La qualità dell’acqua è stata verificata.
Ciò che conta è la velocità. Gli operai lavoreranno finché la macchina sarà riparata.""",
    "pt": """A instalação não está concluída. Amanhã de manhã haverá uma reunião sobre a produção de maçãs.
O avô contou uma história à criança. As condições de segurança são obrigatórias em todas as estações.
É necessário fazer a manutenção do elevador três vezes por mês. Você já leu o relatório técnico?""",
    "sv": """Våra kunder får varorna på måndag. Kör försiktigt över bron, där är det ofta halt på morgonen.
Den äldre mannen åt köttbullar och lät sig väl smaka. Åtgärderna måste vara färdiga före nyår.
Öppna dörren långsamt och släpp ut ångan.""",
    "pl": """Żółw idzie przez łąkę i śpiewa głośno, aż dojdzie do źródła rzeki. Wszyscy słuchają z uwagą.
Proszę wypełnić formularz i przesłać go do końca miesiąca. Książka leży na półce w dużym pokoju.
Następny pociąg odjeżdża o godzinie ósmej. Część pracowników pojechała na szkolenie do Łodzi.
Należy sprawdzić ciśnienie, zanim otworzysz zawór.""",
    "cs": """Příliš žluťoučký kůň skákal přes potok. Vedoucí oddělení nám včera poslal nové pokyny.
Otevřete ventil a počkejte, až tlak klesne. Děti si hrají na hřišti a rodiče je sledují z lavičky.
Každý zaměstnanec musí projít školením bezpečnosti. Měření teploty proběhne ve středu ráno.
Účet je třeba zaplatit do třiceti dnů.""",
    "hu": """A gyűlés időpontja megváltozott, kérjük, nézze meg a táblázatot. Az őszi szünet jövő héten kezdődik.
A gépet csak képzett dolgozó működtetheti. Hűvös tó fölött repült a madár, és nagyon messzire látott.
Töltse ki az űrlapot, és küldje vissza egy héten belül. A műszer pontossága kitűnő.""",
    "ro": """Clienţii primesc facturile în fiecare lună. Întâlnirea a fost mutată pentru săptămâna viitoare.
Copiii se joacă în grădină, iar bunica le pregăteşte o prăjitură. Vă rugăm să verificaţi uşa şi fereastra.
Maşina a fost reparată şi poate fi folosită din nou începând de mâine.""",
    "tr": """Toplantı yarın öğleden sonra yapılacak. Lütfen formu eksiksiz doldurup müdürlüğe gönderiniz.
Küçük çocuk bahçede koşuyor, annesi ise ağacın altında oturuyor. Işıklar söndüğünde kapıyı açmayın.
Şirketin yıllık geliri geçen yıla göre arttı. İstanbul’da hava bugün güneşli olacak.
Cihazı çalıştırmadan önce basıncı kontrol ediniz.""",
    "ru": """Заявление подаётся в течение тридцати дней. Съешь ещё этих мягких французских булок, да выпей чаю.
Насос необходимо проверять каждую неделю, а результаты записывать в журнал. Завтра ожидается сильный снег.
Директор подписал приказ о новых правилах безопасности. Поезд отправляется в восемь часов утра.
Перед включением убедитесь, что клапан закрыт.""",
    "uk": """Заяву потрібно подати до кінця місяця. Її брат живе в Києві, а сестра навчається у Львові.
Щоб запустити двигун, перевірте рівень мастила. Сьогодні ввечері очікується сильний вітер і дощ.
Працівники підприємства отримали нові інструкції щодо безпеки. Ґанок будинку пофарбували в синій колір.""",
    "bg": """Заявлението се подава до края на месеца. Моля, проверете налягането, преди да отворите клапана.
Децата играят в парка, а родителите им седят на пейката. Утре ще бъде слънчево и топло време.
Директорът подписа заповедта за новите правила. Влакът тръгва в осем часа сутринта.""",
    "el": """Η αίτηση υποβάλλεται μέχρι το τέλος του μήνα. Ελέγξτε την πίεση πριν ανοίξετε τη βαλβίδα.
Τα παιδιά παίζουν στον κήπο και η γιαγιά τους ετοιμάζει ένα γλυκό. Αύριο θα έχει ήλιο και ζέστη.
Ο διευθυντής υπέγραψε τους νέους κανόνες ασφαλείας. Το τρένο φεύγει στις οκτώ το πρωί.""",
    "he": """יש להגיש את הבקשה עד סוף החודש. בדקו את הלחץ לפני פתיחת השסתום.
הילדים משחקים בגן והסבתא מכינה להם עוגה טעימה. מחר יהיה יום חם ושטוף שמש.
המנהל חתם על כללי הבטיחות החדשים. הרכבת יוצאת בשעה שמונה בבוקר.""",
    "ar": """يجب تقديم الطلب قبل نهاية الشهر. افحص الضغط قبل فتح الصمام.
يلعب الأطفال في الحديقة وتعد الجدة لهم كعكة لذيذة. غدا سيكون الجو مشمسا وحارا.
وقع المدير على قواعد السلامة الجديدة. يغادر القطار في الساعة الثامنة صباحا.""",
    "th": """โปรดส่งแบบฟอร์มก่อนสิ้นเดือนนี้ ตรวจสอบความดันก่อนเปิดวาล์วทุกครั้ง
เด็กๆ กำลังเล่นอยู่ในสวน และคุณยายกำลังทำขนมให้ พรุ่งนี้อากาศจะร้อนและแดดจัด
ผู้จัดการลงนามในกฎความปลอดภัยใหม่ รถไฟออกเวลาแปดโมงเช้า""",
    "vi": """Vui lòng nộp đơn trước cuối tháng. Hãy kiểm tra áp suất trước khi mở van.
Trẻ em đang chơi trong vườn và bà đang làm bánh cho chúng. Ngày mai trời sẽ nắng và nóng.
Giám đốc đã ký các quy định an toàn mới. Tàu khởi hành lúc tám giờ sáng.""",
    "zh": """请在月底之前提交申请表。打开阀门之前，务必检查压力是否正常。
孩子们在花园里玩耍，奶奶正在给他们做蛋糕。明天天气晴朗，气温较高。
经理签署了新的安全规定。火车早上八点出发，请提前半小时到达车站。""",
    "zht": """請在月底之前提交申請表。打開閥門之前，務必檢查壓力是否正常。
孩子們在花園裡玩耍，奶奶正在為他們做蛋糕。明天天氣晴朗，氣溫較高。
經理簽署了新的安全規定。火車早上八點出發，請提前半小時到達車站。""",
    "ja": """申請書は月末までに提出してください。バルブを開ける前に、必ず圧力を確認すること。
子どもたちは庭で遊んでいて、祖母はケーキを作っている。明日は晴れて、気温が高くなるでしょう。
部長は新しい安全規則に署名した。列車は朝八時に出発します。""",
    "ko": """신청서는 이번 달 말까지 제출해 주십시오. 밸브를 열기 전에 반드시 압력을 확인해야 합니다.
아이들은 정원에서 놀고 있고 할머니는 케이크를 만들고 있다. 내일은 맑고 기온이 높겠습니다.
부장이 새로운 안전 규칙에 서명했다. 기차는 아침 여덟 시에 출발합니다.""",
}

HELD_OUT: dict[str, str] = {
    "en": """The landlord’s agent wrote: “no pets” — yet the lease says nothing of the kind.
A 3½-inch pipe at 25 °C expands by 0.4 mm. Prices start at £1,250 per month; deposits are refundable.
Our naïve forecast was wrong: the façade cracked, and the architect’s rôle was questioned.
Rain fell for nine days, so the harvest was late and the mill stood idle.""",
    "de": """Der Bürgermeister eröffnete die Brücke über den Fluß erst im März. Während der Führung hörte man Gelächter.
Wer zu spät kommt, muß draußen warten. Die Bäckerei verkauft süße Brötchen und kräftiges Weißbrot.
Der Schlüssel hängt am Haken neben der Küchentür. Überstunden werden mit dem nächsten Gehalt vergütet.""",
    "fr": """La forêt s’étend jusqu’à la rivière, où les pêcheurs attendent l’aube. Le médecin a conseillé du repos.
Après la tempête, le clocher de l’église s’est effondré. Les élèves préfèrent la géographie à l’algèbre.
Le bœuf paît là-bas ; le maïs sera récolté en août. Il a reçu son diplôme avec fierté.""",
    "es": """El año pasado llovió muchísimo y la cosecha de algodón se perdió. Mi tío vivía en una cabaña junto al río.
¿Quién escribió aquella canción? Nadie lo sabrá jamás. El médico le recomendó descansar más y comer pescado.
La exposición cerrará en otoño, según anunció el museo.""",
    "it": """L’università aprirà le iscrizioni a metà settembre. Mio papà coltiva verdure più buone di quelle del mercato.
La felicità, però, non si compra. Giovedì pioverà, così resteremo a casa. C’è un’abilità che non s’impara.""",
    "pt": """O pão estava quente e o leite também. Os pescadores não saíram porque o mar está agitado desde terça.
A eleição será no próximo mês, e ninguém sabe quem ganhará. Minha irmã toca violão há três anos.
Os órgãos públicos ficarão fechados até quinta-feira.""",
    "sv": """Höstens första frost kom redan i september. Fåglarna flög söderut över sjön, och barnen följde dem med blicken.
Läraren förklarade uppgiften en gång till. På kvällen åkte de hem med båten från Åland.""",
    "pl": """Jesienią liście spadają z drzew, a dzieci zbierają kasztany. Mąż kupił świeże pieczywo i trochę sera.
Sędzia ogłosił wyrok dopiero późnym wieczorem. Wczoraj zgubiłem klucze gdzieś między domem a dworcem.
Źle się czuję, więc zostanę w łóżku. Gęś uciekła za stodołę.""",
    "cs": """Na podzim padá listí a děti sbírají kaštany. Řidič zastavil těsně před přechodem a počkal na chodce.
Soudce vynesl rozsudek až pozdě večer. Včera jsem ztratil klíče někde mezi domem a nádražím.
Babička upekla koláče s mákem. Žák úlohu nevyřešil, protože přečetl jinou stránku.""",
    "hu": """Ősszel lehullanak a levelek, a gyerekek gesztenyét gyűjtenek. A bíró csak késő este hirdetett ítéletet.
Tegnap elvesztettem a kulcsaimat valahol a ház és az állomás között. Nagymama mákos süteményt sütött.
Az erdő mögött egy régi fűrészmalom áll. A győztes könnyű szívvel tért haza.""",
    "ro": """Toamna cad frunzele, iar copiii adună castane. Judecătorul a pronunţat sentinţa abia seara târziu.
Ieri mi-am pierdut cheile undeva între casă şi gară. Bunica a făcut plăcinte cu mere. Râul curge liniştit.""",
    "tr": """Sonbaharda yapraklar dökülür, çocuklar kestane toplar. Hâkim kararını ancak gece geç saatte açıkladı.
Dün anahtarlarımı ev ile istasyon arasında bir yerde kaybettim. Büyükannem haşhaşlı çörek pişirdi.
Ormanın arkasında eski bir değirmen var. Öğrenci soruyu yanlış anladığı için çözemedi.""",
    "ru": """Осенью с деревьев падают листья, и дети собирают каштаны. Судья огласил приговор лишь поздно вечером.
Вчера я потерял ключи где-то между домом и вокзалом. Бабушка испекла пироги с маком и угостила соседей.
За лесом стоит старая мельница. Ученик не решил задачу, потому что прочитал не ту страницу.""",
    "uk": """Восени з дерев опадає листя, і діти збирають каштани. Суддя оголосив вирок лише пізно ввечері.
Учора я загубив ключі десь між будинком і вокзалом. Бабуся спекла пиріжки з маком і пригостила сусідів.
За лісом стоїть старий млин. Учень не розв'язав задачу, бо прочитав не ту сторінку.""",
    "bg": """През есента листата падат, а децата събират кестени. Съдията обяви присъдата чак късно вечерта.
Вчера изгубих ключовете си някъде между къщата и гарата. Баба опече питки с мак и почерпи съседите.""",
    "el": """Το φθινόπωρο πέφτουν τα φύλλα και τα παιδιά μαζεύουν κάστανα. Ο δικαστής ανακοίνωσε την απόφαση αργά το βράδυ.
Χθες έχασα τα κλειδιά μου κάπου ανάμεσα στο σπίτι και τον σταθμό. Πίσω από το δάσος υπάρχει ένας παλιός μύλος.""",
    "he": """בסתיו נושרים העלים והילדים אוספים ערמונים. השופט הודיע על פסק הדין רק בשעת ערב מאוחרת.
אתמול איבדתי את המפתחות אי שם בין הבית לתחנה. מאחורי היער עומדת טחנה ישנה.""",
    "ar": """في الخريف تتساقط الأوراق ويجمع الأطفال الكستناء. أعلن القاضي الحكم في وقت متأخر من المساء.
أمس فقدت مفاتيحي في مكان ما بين البيت والمحطة. خلف الغابة توجد طاحونة قديمة.""",
    "th": """ในฤดูใบไม้ร่วงใบไม้จะร่วงหล่น และเด็กๆ จะเก็บลูกเกาลัด ผู้พิพากษาประกาศคำตัดสินเมื่อค่ำวานนี้
เมื่อวานฉันทำกุญแจหายที่ไหนสักแห่งระหว่างบ้านกับสถานี หลังป่ามีโรงสีเก่าอยู่""",
    "vi": """Mùa thu lá rụng, trẻ con nhặt hạt dẻ. Thẩm phán chỉ tuyên án vào lúc tối muộn.
Hôm qua tôi đánh mất chìa khóa ở đâu đó giữa nhà và nhà ga. Phía sau khu rừng có một cối xay cũ.""",
    "zh": """秋天树叶飘落，孩子们捡栗子。法官直到深夜才宣布判决。昨天我把钥匙丢在家和车站之间的某个地方。
祖母烤了芝麻饼，还请邻居们品尝。森林后面有一座古老的磨坊，河水静静地流过。""",
    "zht": """秋天樹葉飄落，孩子們撿栗子。法官直到深夜才宣布判決。昨天我把鑰匙丟在家和車站之間的某個地方。
祖母烤了芝麻餅，還請鄰居們品嚐。森林後面有一座古老的磨坊，河水靜靜地流過。""",
    "ja": """秋になると葉が落ち、子どもたちは栗を拾う。裁判官は夜遅くにようやく判決を言い渡した。
昨日、家と駅の間のどこかで鍵をなくしてしまった。森の向こうには古い水車小屋がある。
祖母はごまのお菓子を焼いて、近所の人たちに配った。""",
    "ko": """가을이 되면 나뭇잎이 떨어지고 아이들은 밤을 줍는다. 판사는 밤늦게야 판결을 선고했다.
어제 집과 역 사이 어딘가에서 열쇠를 잃어버렸다. 숲 너머에는 오래된 물레방앗간이 있다.
할머니는 참깨 과자를 구워 이웃들에게 나누어 주었다.""",
}

_WIDE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
_WESTERN = ("cp1252", "iso8859_15", "mac_roman", "cp850")
_EASTERN = ("cp1250", "iso8859_2")
_CYRILLIC = ("cp1251", "iso8859_5", "cp866", "mac_cyrillic")
#: What texts of a language were stored in, Unicode's forms first.
ENCODINGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("en", "de", "fr", "es", "it", "pt", "sv"), (*_WIDE, *_WESTERN)),
    **dict.fromkeys(("pl", "cs", "hu", "ro"), (*_WIDE, *_EASTERN)),
    "tr": (*_WIDE, "cp1254", "iso8859_9"), "ru": (*_WIDE, *_CYRILLIC, "koi8_r"),
    "uk": (*_WIDE, "cp1251", "koi8_u"), "bg": (*_WIDE, "cp1251"), "el": (*_WIDE, "cp1253", "iso8859_7"),
    "he": (*_WIDE, "cp1255", "iso8859_8"), "ar": (*_WIDE, "cp1256", "iso8859_6"),
    "th": (*_WIDE, "cp874", "tis_620"), "vi": (*_WIDE, "cp1258"), "zh": (*_WIDE, "gb18030", "gb2312"),
    "zht": (*_WIDE, "big5"), "ja": (*_WIDE, "shift_jis", "euc_jp", "iso2022_jp"),
    "ko": (*_WIDE, "euc_kr", "cp949"),
}  # fmt: skip
