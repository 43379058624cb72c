"""Stop words by language: articles, pronouns, prepositions, conjunctions, auxiliaries.

They tell languages of one script apart, and are the stop words of lexical search. As tokenizers
split at apostrophes, elided and contracted forms stand here in their parts (`l`, `qu`, `don`).
"""

from __future__ import annotations

STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        # Latin script
        "catalan": """
            a al als amb aquell aquella aquest aquesta això cada com d de del dels des el els em
            en entre era es està ha han he hi i jo l la les li llur m me més molt ni no o on pel
            pels per perquè però qual quan que qui s sense ser seu seva si sobre són també té tot
            un una unes uns va ja""",
        "czech": """
            a aby ale ani asi až bez bude by byl byla bylo byly být co či do dnes ho i já jak
            jako je jeho jejich její jen jestli ji jich jsem jsme jsou k kde kdo kdy když která
            které který má mezi může na nad ne nebo není nic o od po pod podle pokud pro proto
            před při s se si své svou také tak takže tato ten tento to tom tu ty u už v ve však
            za ze že""",
        "danish": """
            af alle anden at blev blive bliver da de dem den denne der deres det dette dig din
            disse dog du efter eller en end er et for fra ham han hans har havde hende hendes her
            hun hvad hvis hvor hvordan i ikke ind jeg jer jo kan kunne man mange med meget men
            mig min mod ned noget nogle nu når og også om op os over på sig sin skal skulle som
            sådan til ud under var vi vil ville vor være været""",
        "dutch": """
            aan al alles als altijd andere ben bij daar dan dat de der deze die dit doch doen
            door dus een eens en er ge geen geweest haar had heb hebben heeft hem het hier hij
            hoe hun iemand iets ik in is ja je kan kon kunnen maar me meer men met mij mijn moet
            na naar niet niets nog nu of om omdat onder ons ook op over reeds te tegen toch toen
            tot u uit uw van veel voor want waren was wat werd wezen wie wil worden wordt zal ze
            zelf zich zij zijn zo zonder zou""",
        "english": """
            a about above after again against all am an and any are aren as at be because been
            before being below between both but by can cannot could couldn d did didn do does
            doesn doing don down during each few for from further had hadn has hasn have haven
            having he her here hers herself him himself his how i if in into is isn it its itself
            just ll m me more most mustn my myself no nor not now of off on once only or other
            ought our ours ourselves out over own re s same shan she should shouldn so some such
            t than that the their theirs them themselves then there these they this those through
            to too under until up ve very was wasn we were weren what when where which while who
            whom why will with won would wouldn you your yours yourself yourselves""",
        "estonian": """
            aga all ei ehk ega enam et ette ja juba just ka kas kes kogu kui kuid kuidas kus kõik
            käes läbi ma meie mida millal milline minu mis mu ning nad need nende neid nii oli
            olid olla on oma pea peale pärast sa see seda selle selles siin siis ta tema teie
            tuleb või veel väga üks üle""",
        "finnish": """
            ei eivät emme en et että hän hänen he heidän ja jo joka jos jotka johon jossa jota
            joten kaikki kanssa keskellä koska kuin kuinka kun kuten me mikä minä missä mitä
            mukaan mutta myös ne niiden niin nyt näiden nämä ole oli olla olivat on ovat se sekä
            sen siellä siinä sinä sitä tai tämä tämän te tuo vaan vai vain voi voidaan vuoksi""",
        "french": """
            a ai as au aux avaient avait avec avez avons c ce ces cet cette comme d dans de des
            donc du elle elles en est et étaient était été être eu eux fait furent fut il ils j
            je l la le les leur leurs lui m ma mais me même mes moi mon n ne nos notre nous on
            ont ou où par pas plus pour qu quand que quel quelle qui s sa sans se sera ses si son
            sont sous sur t ta te tes toi ton tu un une vos votre vous y""",
        "german": """
            aber alle allem allen aller alles als also am an ander andere anderen auch auf aus
            bei bin bis bist da damit dann das dass daß dein deine dem den denn der des dich die
            dies diese diesem diesen dieser dieses dir doch dort du durch ein eine einem einen
            einer eines er es etwas euch für gegen habe haben hat hatte hatten hier hinter ich
            ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ist ja jede jedem jeden jeder jedes
            jene kann kein keine keinen können man mein meine mich mir mit muss müssen nach nicht
            nichts noch nun nur ob oder ohne sehr sein seine seinem seinen seiner sich sie sind
            so solche soll sollte sondern um und uns unser unter viel vom von vor war waren warum
            was weil welche welcher wenn wer werde werden wie wieder will wir wird wirst wo
            wollen wurde wurden während würde über zu zum zur zwar zwischen""",
        "hungarian": """
            a abban ahhoz ahogy aki akik akkor alatt általában amely amelyek amelyet ami amit
            amíg arra az azok azon azonban azt aztán azzal be csak de e egy egyes egyik el ellen
            elő ennek erre és ez ezek ezt fel ha hanem hogy igen így ill is ismét itt jól kell ki
            kívül között közül le lehet lesz lett maga már más meg mellett mely mert mi mikor
            mint mivel most nagy ne nem nincs ő olyan ott össze pedig s saját sem sok szerint
            számára talán tehát után úgy utána vagy van vannak vele vissza volna volt""",
        "indonesian": """
            ada adalah agar akan aku anda antara apa apakah atas atau bagi bahwa banyak beberapa
            belum bisa bukan dalam dan dapat dari daripada dengan di dia harus hanya hingga ia
            ini itu jika juga kami kamu karena ke kepada ketika kita lagi lain lebih maka masih
            mereka namun oleh orang pada para pernah saat saja sangat saya sebagai sebuah secara
            sedang sehingga sejak selama seperti serta setelah siapa suatu sudah tanpa telah
            tentang tersebut tetapi tidak untuk yang""",
        "italian": """
            a abbiamo ad agli ai al alla alle allo anche aveva c che chi ci come con contro cui d
            da dagli dai dal dalla dalle degli dei del dell della delle dello di dove e è ed era
            erano essere fra fu gli ha hai hanno ho i il in io l la le lei li lo loro lui ma mi
            mia mio ne negli nei nel nell nella nelle noi non nostra nostro o ogni per perché più
            quale quando quella quelle quelli quello questa queste questi questo se sei si sia
            siamo sono sta stato su sua sue sugli sui sul sulla suo suoi tra tu tua tuo tutti
            tutto un una uno vi voi""",
        "lithuanian": """
            ar arba bei bet buvo būti dar dėl iki ir iš į ją jai jau jei jeigu ji jie jį jis jo
            jog jos jų kad kada kai kaip kas kiek kur kurie kurios kuris kurį mano mes ne nei nes
            net nors nuo o per po prie prieš su sau savo tačiau tai taip tarp tas tik to tu už
            visi yra""",
        "norwegian": """
            alle at av bare begge ble blei bli blir da de deg dei deim den denne der dere deres
            det dette di din disse du eg ein eit eitt eller en er et etter for fordi fra før ha
            hadde han hans har hennes her hun hva hvem hver hvilke hvis hvor hvordan hvorfor i
            ikke inn ja jeg kan kom kunne man mange med meg meget mellom men mer min mot mye må
            ned noe noen nå når og også om opp oss over på samme seg selv sin skal skulle slik
            som så til ut uten var ved vi vil ville vår være vært""",
        "polish": """
            a aby albo ale ani aż bardzo bez bo być był była było były będzie ci co czy dla do
            gdy gdzie go i ich ile im inne innych ja jak jako je jego jej jest jeszcze jeśli już
            każdy kiedy kto która które którego której który których którzy ku lub ma między mi
            mnie może można my na nad nam nas nie niż o od on ona oni oraz po pod ponieważ poza
            przed przez przy są się sobie swoje ta tak także tam te tego tej ten to tu tych tylko
            tym u w we więc wszystko z za ze że""",
        "portuguese": """
            a ao aos aquela aquele as até com como da das de dela dele depois do dos e é ela elas
            ele eles em entre era eram essa esse esta está estão este eu foi foram há isso isto
            já lhe mais mas me mesmo meu minha muito na não nas nem no nos nossa nosso num numa
            nós o os ou para pela pelas pelo pelos por porque qual quando que quem se seja sem
            ser será seu seus só sua suas são também te tem têm ter tinha um uma umas uns você
            vocês à às""",
        "romanian": """
            a acea aceasta această aceea acest aceste acestea acesta ai al ale am ar are as asta
            astfel au avea avem ca că care cât către ce cea cei cel cele chiar ci cine cu cum da
            dacă dar de deci decât deși din după ea ei el ele era este eu face fără fi fie fiind
            foarte fost i iar îi îl în încă între își l la le li lor lui mai mult ne nici noi nu
            o or ori pe pentru peste prin s sa să sale sau său se sunt tot toate toți un una unde
            unei unele unor unui va vă vor""",
        "spanish": """
            a al algo algunas algunos ante antes aquel aquella como con contra cual cuando de del
            desde donde durante e el él ella ellas ellos en entre era eran es esa ese eso esta
            está están estas este esto estos fue fueron ha había han hasta hay la las le les lo
            los más me mi mientras mis mucho muy nada ni no nos nosotros o os otra otro para pero
            poco por porque puede que qué quien se sea ser si sí sido sin sobre son su sus
            también tanto te tiene todo todos tu un una uno unos usted y ya yo""",
        "swedish": """
            alla allt att av blev bli blir där då de dem den denna deras dess det detta dig din
            dina dit du efter ej eller en er ett från för ha hade han hans har henne hennes hon
            honom hur här i icke inom inte jag ju kan kunde man med mellan men mig min mot mycket
            ni nu när någon något några och om oss på samma sedan sig sin sina sitta själv skall
            ska skulle som så sådan till under upp ut utan vad var vara varför varit vem vi vid
            vilka vilken vilket vår än är åt över""",
        "turkish": """
            acaba ama ancak bana bazı belki ben beni benim beş bile bir biri birkaç birçok biz
            bize bizim bu buna bunu bunun burada çok çünkü da daha de defa değil diye en fakat
            gibi göre hem hep hepsi her hiç için ile ise işte kadar ki kim mı mi mu mü nasıl ne
            neden nerede o olan olarak oldu olduğu olur on ona ondan onlar onların onu onun sen
            siz şey şu tüm var ve veya ya yani yok üzere""",
        # Cyrillic
        "bulgarian": """
            а ако ала беше би бил била било бъде в във вече все да дали до докато е един една
            едно за защо защото и из или им има как като ко което които който към ли ми много
            може му на над не него нещо ни но някои от по под при с са само се си след според със
            също такъв така те тези това той толкова този трябва тя че ще я""",
        "russian": """
            а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да
            для до его ее её если есть еще ещё же за здесь и из или им их к как ко когда который
            которая которые кто ли либо мне может мы на над надо не него нее ней нет ни них но о
            об однако он она они оно от очень по под при с свой своей своих себя со так такой там
            то того тоже только том ты у уже хотя чего чем что чтобы чье эта эти это этого этой
            этот я""",
        "serbian": """
            а али ако без би био била било били бити да до док где га и из или им их ја је јер
            још када као ко који која које кроз код ли ме међу ми мој на над најпре не него није
            но о од он она они по под пред при с са само се си смо су та тај тако такође те ти то
            тог тој у уз за што""",
        "ukrainian": """
            а або але без би був буде були було бути в вам вас ви від він вона вони все для до з
            за зі і із й його її їх як яка яке які який якщо коли ж ми може на над не нас ні о об
            один по під при про та так також там те тим то того тому ти тільки у це цей ця ці
            цього через чи що щоб я є""",
        # Arabic script
        "arabic": """
            إذا إلا إلى أن أنه أو أي ان الا التي الذي الذين الى اللذين اي بعد بل بها به بين تلك
            ثم حتى حيث ذلك عن على عليه عند غير في فيه فيها قبل قد كان كانت كل كما لا لم لن له لها
            ليس ما مع من منذ منها منه نحن هذا هذه هم هناك هو هي و وقد ولا ولم وهو وهي يكون""",
        "persian": """
            آن آنها از است اگر اما این ایشان با باید بر برای بود بودند به بین تا تر ترین تو چون
            چه چند خود دارد در دو را روی شد شده شود شما ما من مورد می نیز نمی ها های هر هم همه
            هیچ و ولی وی پس پیش کرد کرده کنند کند که گفت یا یک""",
        "urdu": """
            آپ اس ان اور ایک اپنی اپنے بھی تک تھا تھی تھے تو جو جس جن سے ضرور کا کر کرنا کرنے کہ
            کوئی کو کی کے لیے میں نے نہیں وہ پر پھر ہم ہو ہوا ہوتا ہوں ہی ہے ہیں یا یہ""",
        # Devanagari
        "hindi": """
            अपना अपनी अपने अब आदि आप इन इस इसके इसी उन उनके उस उसके एक एवं ऐसे और कई कर करता करते
            करना करने कहा का कि किया किसी की कुछ के को कोई कौन गया गए जब जहाँ जा जाता जिस जैसे जो
            तक तब तो था थी थे दिया दो नहीं ने पर फिर बहुत बाद भी मगर में मैं यदि यह यहाँ या ये
            रहा रहे लिए लेकिन व वह वाले वे सकता सब से हम ही हुआ हुई हुए है हैं हो होता होती होने""",
        "nepali": """
            अनि अब अरु आफ्नो उनले एक एउटा कि को के केही गरे गरेको गर्न छ छन् जुन जो त तथा तर तिनी
            त्यो थियो थिए न नै पनि पर्छ प्रति भए भएको भन्ने मा मात्र यस यो र रहेको लाई ले लागि वा
            सबै साथ हुन हुने हो""",
    }.items()
}
