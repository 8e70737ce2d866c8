# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The 6,000 most common words of spoken English, most common first: what a hotword has to be told from.

The order is that of word counts in the transcripts of LibriSpeech train-clean-100 (Panayotov et al. 2015, CC BY 4.0);
some everyday words that its books, all before 1930, lack or hardly have stand in between, from rank 1,000 on.
"""

# Pairs that espeak-ng says as one word. A word's underscore is a blank.
JOINED_WORDS = """
of_the of_a of_an in_the in_a to_the to_be to_have on_the at_the at_all for_the for_a from_the from_a with_the with_a
by_the and_the that_the is_a was_a it_is it_was that_was that_it have_been had_been has_been would_have could_have
should_have might_have must_have will_have may_have out_of a_lot not_a not_at but_a all_of part_of one_of some_of
"""
COMMON_WORDS = """
the and of to a in he was i that it his had as with you for her but not is she at on be him they by have were my this
which all from so said one me we there no their when them or an would if who what are been up out then could will more
into very do some now man little did your about than time like has well only two upon other any made our before after
its such down see old over these know day should good mister came great much us can way never how must come again
where back first himself go long own might say went even men may just through here make most too those without every
think thought away eyes life house many being nothing still am people while though don't last off young three get yet
take found missus asked hand same saw night head right ever once left shall new tell took place always another seemed
room face why under told heard looked put things because something give let going look thing soon mind each love knew
yes father far world having home enough against mother few moment years work better began done sir got miss door seen
heart between king it's morning whole woman side called felt herself find however white perhaps turned replied quite
half both girl myself part also course oh hundred poor gave voice among almost water whom set name hands together days
anything words next stood until feet brought best nor four want round i'm others since looking five believe light
passed country rather along dear lay small indeed open does kind near sure cried matter end less full answered
themselves whose word twenty true money taken high gone behind uncle certain rest child during already power sat lady
air keep hope often large till present around everything wish nature death case john leave became wife says didn't
alone thus black children women god given really land held general short coming above cannot ground boy returned
doctor order fact help sent thousand sometimes city friend hear family body sight least whether hour within speak fire
master evening beautiful bed itself fell point use mean friends state either big that's able thou call care used times
several i'll making known possible means lost kept suddenly appeared feel reached strange fine six second question
street towards town continued person red sea hair sort human hard dark therefore longer story close manner need war
son prince become sound tree church wanted ought understand dead rose read across business table idea window live else
certainly turn happy river toward brother followed run green different arms ready ask met reason fear princess year
fellow can't lord eye taking earth sleep lived suppose captain strong feeling blue girls entered added ten free answer
show pretty tried clear foot trees glad school road peter received carried cold doubt past truth beyond although horse
opened later thee thy husband talk boys i've form party spoke book letter snow hours deep hold ill english ran saying
england struck daughter number living seven led return early age bring low sun doing beauty cut soul wonder eight
walked spirit grew bad nearly remember o position sense neither front caught happened seem miles ah further public
forth late chance filled forward fall law wind standing wild none silence garden won't afraid force subject pleasure
immediately interest eighteen meet gold yourself trouble started youth stopped company walk minutes pay real loved
forest hardly change thirty tone sister happiness exclaimed view property government fifty line except object arm
moved there's purpose ago wait tears saint boat madame third service seems floor attention he's deal laid bear instead
outside laughed sitting seeing talking character rich week impossible play try army common easy length stand hill
getting london wood sweet thoughts whatever please mine cause appearance mouth natural desire fresh opinion wonderful
court society showed de fair comes quickly smile placed broken act food giving remained covered entirely wide step
thinking queen top necessary valley turning you're died account sit terrible chapter figure waiting easily joy man's
gentleman makes danger pass below distance usual speaking horses blood probably lips stay drew knows paper duty
expression jane history arrived expected wished occasion chair houses stone winter married presence slowly palace
strength sky beginning heavy places changed especially sudden chief bread field spring killed wrong fortune secret
dinner spent brown scarcely forty art smiled die race born village steps save mountain quiet afternoon dream visit
trying following letters fight ship effect legs woods broke besides office cry learned meant silent news influence
simply allowed couldn't carry lie stop believed heaven self lake soft months north camp south closed particular
experience french marriage corner surprise beside golden eat regard single bit pale nine follow o'clock battle
straight warm bright isn't latter ladies conversation isabel thank greater pleasant grace raised watch journey crowd
billy wasn't marry seat pleased wouldn't west unless understood escape shook move persons shore storm anxious walking
aunt simple pocket american i'd worse worth twelve declared summer bank forget stranger class rebecca tom looks
dropped remain send ones comfort personal important handsome direction hall knowing ancient tail evil dressed dress
considered states hat everybody merely box prepared reach walls path honour fast soldiers finally peace action
mountains president plain east shut exactly laugh father's gentlemen mary wall breath edward flowers tired success
circumstances various gray grown knowledge pain social bound moon guess tall heads difficult ideas we'll one's cousin
safe quick quarter liked beneath leaving afterwards morrow what's paid mere darkness decided somewhat affairs scene
serious observed measure condition perfectly music future begin shot narrow farm running situation repeated learn
write picture lower remembered threw evidently built sorry thick nobody bell forgotten discovered minute effort
everywhere breakfast possession building york yellow fallen brothers luck clothes considerable glance leaves fifteen
obliged france attempt frightened according silver finished reply written catherine anne ways broad lose growing
result drawn major indian okay hung sick beat carriage instant drawing promised servant yeah group determined fish
game carefully cross neck dollars phone hills toby piece ourselves telling servants appear listen computer promise
smiling perfect mark feelings angry played lifted email opening bill island expect companions period lying charles
internet weather equal greatest touch books frank spot happen video edge windows talked moments ordinary lives teeth
difficulty online vain fingers shoulder sisters indians sharp main alive website doesn't spite likely sign creature
companion occupied satisfied app enemy holding existence sympathy henry due presently watching mobile passing judge
moving formed yours you'll taste count movie watched gathered moral greatly grave task ears fancy television start
respect ring sad grass receive courage agreed tv coat papers hot sword seized d'artagnan thin wore radio proud
listened enter allow grand offered perceived mistress airport united caused glass parts creatures train hadn't maid
airplane needed complete spread opposite burst matters surely weeks flight private meeting required rising shining
chamber shop papa taxi nation noticed tea surprised blow absence advantage passion car empty resolved produced
possessed attack spoken rock finding bus faces doors castle coronel sixteen questions pointed terror bike justice
whispered inside asleep fixed dog bottom fields driver animals delight degree higher health generally curiosity sake
traffic mistake she's sell lot quietly altogether king's explained police special search ordered falling rooms streets
sheep corporal credit break birds laughing tongue imagine events orders suffering dollar flew excited wrote honest
ships ear hoped middle percent cottage trust calling meaning noise pond ahead clouds million rise advanced rain
passage gentle welcome ruth relief billion space grow fond faith pride refused guard dangerous budget serve movement
wishes former cast catch farmer approached project thrown priest suit instance interesting rate kill offer manager
gate board study upper disappeared excellent drove value team wealth knit elizabeth stream parents fashion dare gently
customer roof memory shown fit note america noble fully market wine buy interested ye shape individual ball farther
sales authority religion remarked dale information suggested pity lovely product imagination liberty leading shadow
affair arose calm paused data mass speech engaged sides aware lines sprang wise software physical clean we're proper
supposed failed notice waited network you've paris honor month habit unknown settled bore server blind knees dry aside
hearts patsy dragon busy screen putting supper mighty iron shoulders served hearing desired button presented consider
weak wants usually loud finger hopes click hurt drink material vast bought political james contrary download mouse
mile stick forced demanded mental goes seldom password touched informed charge excitement terms regular coast sought
file support remarkable lead ceased accepted temper song sooner message wedding system majesty hidden nearer shouted
splendid meadow text advice sixty eggs bird cloud george prove sufficient chat charming price sold begun graham breast
prisoner laws camera elsie voices haven't club admit treated carrying pair photo succeeded prevent fat brain trail
occurred color pray player huge century dreams emma arthur conscious taught proceeded football hotel opportunity slept
directly intended row fairy difference basketball pure tender asking delighted dozen immediate conduct couple baseball
skin rome em curious picked victory distant duke soccer rachel kitchen william fly admitted unhappy proved loss score
size language spirits worked working ate physician modern coffee emperor countenance hunting conseil nora meal flat
mysterious pizza goods employed expressed control fourth royal waters command restaurant powers joined admiration
national anyone hurry particularly trim fridge washington eleanor press colonel lucy stepped fairly yesterday
supermarket seek powerful cases instantly stretched saved whenever daily shopping importance wounded increased forms
absolutely double add laughter store apparently labor harm midst cat plenty capable wound mom possibly visible nice
highest shame slave truly bitter dad named famous takes patience surface violent sum addressed kids example clearly
pushed pulled square cabin grey throat guy animal slight virtue slow writing deck roman keeping guys concluded plainly
drive hungry seated crow acquaintance fate baby parliament members dared bare playing cost smoke advance girlfriend
fruit heat pieces oak mentioned original equally stones boyfriend hut jesus jason nights enjoyed worn extraordinary
willing hospital fail prison seventeen brave dutch hastily safety satisfaction nurse awful nose minds plan mud bobby
entrance dogs medicine glory recognized mill devil gun lies progress administration covid kingdom tiny pierre anybody
conscience actually yard fun vaccine explain awake intelligence moreover rushed affected handed freedom temperature
trade forces secure rapidly conditions bay reading key degrees loose wondered gained ease merry pardon horror unto
monday rode principle vessel louise false height income closely tuesday worthy risk ugly wear stairs alas evidence
delay wednesday fled nevertheless chosen provided seventy efforts rule eighty thursday religious otherwise wings ended
throw choice throughout hurried friday realized patient sorrow officers throne marked shade stars saturday leg lamp
mamma don turtle proof sunshine points sunday somebody lights dreadful relations excuse desk dust pressed january bent
comfortable won anger armed flesh softly nodded february startled peculiar brilliant plans entering stage facts works
march bath eager tails lincoln knight ben pool foreign april foolish you'd partly acquainted forgive rage confidence
approaching june sacrifice popular regarded devoted compelled direct military resolution july glanced gives driven
uttered removed affection listening precious august ice temple eating names rocks monsieur community bluff september
eric helped attitude arrival cruel enjoy grief dignity october hers inquired interrupted accept completely larger
fought sailed november nations content corn dance ride useful buried queer december hast gradually teacher rolled
rough sand fool masters pm inclined shone cosette holy marguerite odd station extreme today style impression post
share consciousness flower spend fleet tomorrow ghost shaking faint melancholy beheld smooth principal entire tonight
stands method magnificent twice jimmie countess udo philip weekend marius official bag kindness overcome effects loves
wretched schedule flying bold announced suggestion enemies meanwhile destroyed brief calendar managed behold stared
faced kindly naturally member governor china francs younger edith subjects hole bearing consideration folks chinese
native drop alarm wishing marble ashamed funny ours europe showing treatment forgot dancing crying eagerly described
mention california pause interests increase towns mad peasant objects assistance election report nineteen german
millions lover amount lighted civil policy intention directed bridge sank annie bobo crossed banks program leaning
fault nay crime cheeks witness consent solemn research tent innocent sleeping rare agreeable fishing scattered active
science despair astonishment fighting fellows christian everyone bodies escaped technology soldier birth m evident cap
older successful let's university jerry goodness ocean lily range natasha perceval aid college matthew driving swept
apartment severe extremely belonged wicked student merchant trip education bowed assured becoming household suffered
students bade sufficiently appointed sail similar breaking commander stock professor gaze clever accompanied recovered
careful district bar newspapers homework figures hunt rank distinguished widow spanish favor david exam ganem voyage
frequently psyche japanese whence slightly forehead energy worst mercy type manners gloomy dull minister sighed
electric cared doubtless absolute discovery firm necessity obtained butter battery universal wooden sounds development
dying flung changes connection robot explanation stout roots trembling resumed returning kissed pictures google
families hanging examined newspaper adam gratitude ferko helen ok jeff hated he'd accordingly we've stupid eleven
bringing alright demand branch mother's suspected abroad strike trial somewhere gonna kiss crowded convinced library
reasons reality council unable wanna skill cook thrust invited separated cow discover depths hi ends charm mounted
southern colored needs stayed concerned hello speed hide attended waves accustomed falls mabel hyacinth thanks maybe
weight villefort plague descended argument extent familiar bye failure measures countries refuse destruction vague
signs unconscious sees hastened milk owner established reputation feared exhausted lightning jumped woman's thousands
nervous cities branches rush experiences pen atmosphere parted alice spiritual dawn wandered motion hunger ages
passengers priscilla describe wondering elder immense basket guns deserted veil flash match haste suspicion previous
practice stories western event cool sentiment pull continue created lieutenant superior struggle gain article salt
produce landscape beg join nest choose stiff forever win audience classes suffer cheese mingled consequence portion
cheek afterward conclusion misery surrounded bow shed peep ned enthusiasm parish tilney porthos earl representative
bachelor committee sylvia hollow attend glimpse astonished painful somehow purple sang imagined enormous views retired
proportion magistrate regret prisoners fitted useless hate hitherto knife intentions theory causes holland striking
fifth beloved bitterly proposed delivered fill possess lonely band accident singing level setting relation jim
citizens poverty fox equality faithful species cup leaned leaped anxiety quoth lad mercer francis commons poyser
crawley they're mystery friendship steadily belong slim bride confusion obtain neighbors gazed wendy judgment applied
disappointed constantly hesitated murder threatened disposed valuable numbers friendly request proceed pounds shock
gods departure kinds brownie express likewise arranged sole ruin hath god's composed headed features approach vanished
chain beating daughters tis groups soap childhood painted fetnah infinite caroline thompson ambition knocked joe
richmond carlyle circle unusual lack pick grandfather bones boots delightful lightly blame gay sacred leader adventure
lest visitor observation literature apart delicate fever distinct supreme hero favour stuff slipped disturbed
thoroughly numerous sounded privilege motive fortunate midnight pearls invitation begged understanding smaller
committed utter purposes anywhere agree highly star gates actual beings crown draw creek peasants origin fed preserved
host freely loving hundreds planchet leif lukashka pencroft marilla earnest fears shoes beard unfortunate ain't roads
union cover afford pirate waste reward shadows conviction merit swift hatred attacked port powder wholly using someone
rapid impulse weary inn straw wet quarters job wandering gather final muttered spare problem hiding troops unc
prudence eastern notwithstanding jolly thenardier empire shake pony ronicky agony romans officer barricade joyce
olenin confess deeply soil ideal yards discussion remark instinct guilty contempt activity description chiefly
exercise ralph rang feels motionless learning depend piano mortal avoid title essential opposition humanity t vision
fisher wrapped address candle savage constitution variety rid shortly grateful obeyed female dressing grant introduced
claim occasionally notes engineer habits concerning expedition re becomes badly mirror observe pine tribe departed
nearest slavery mount smith craft dick shepherd roc earlier bloom bushes cheerful tied gravely anyhow ventured capital
rested losing flushed trembled missed raise contact genius treat miserable travel troubled longing increasing amongst
divine slightest accomplished insisted difficulties pointing keeps aloud services magic murmured horrible day's
appears steady noon movements calls cents rendered custom resist perceive profound longed instrument lesson giant
stern revolution warriors hid meat travelling whilst sing civilization swords gregg connected vengeance angel jenks
conducted lane developed christmas pearl ninety continually supported acted extended tops sheet sharply he'll pursued
occasions generous reflected intelligent oliver withdrew season examination leather wherever pot fierce squire rear
inhabitants relieved endure unexpected bottle monster wept represented glorious climbed baron thirteen barbicane
meantime lately frame yonder fancied rays remains sons kings souls sentence et shouting hit centre fourteen russian
limbs herbert justinian summit leopold enjoyment slender twisted desperate utterly resting reflection duties aspect
raising circumstance require teach surrounding image damp practically independence acknowledge flag vessels
indignation professional acquired issue attempted articles vote assure locked chest dread burden gift gloom labour
oars persuaded holes shells positive capacity estate local lawyer indifference per results desert experienced wheat
nuts seeking treasure practical fastened exchange christ process happens plains supply burning landed principles patty
build madam curate diamond isabella trap utmost shout crew historians ali gwynplaine grammont orchard canadian safely
expectation concealed secretary scared mankind triumph instructions darling la dim absorbed abruptly career
disappointment cries including seas fired aroused stronger captured gallant shelter permitted prepare fur noted staff
heap sigh sovereign quality presents enterprise mate concern considering mistaken restored perform gets obvious fatal
addition prairie sam tracks ignorant visited guests bears burned michel knee beasts multitude crept assumed impatience
confused violence signor northern virtues abraham pipe commanded distress jenny qualities franz tale timber marched
kate julia cropper polly esther juliet montgomery eaten apple sensation dreaming platform sailor pronounced handle
intimate danglars independent wake dearest profession intense divided record industry advantages creation date ruined
contents plate singular reader guessed guide receiving saddle seats poured ability page details closer definite wagon
filling permit prayers throwing related master's external thither whoever guest glasses precisely balance necessarily
base venture landing dragged recognize agents region assembled forests solid cakes boxes scarlet declare accused bless
mode paul regiment mariposa fort launcelot damon iceland fiddler wilmington strangers puzzled stuck deny fearful
secretly carelessly responded prevented firmly owned volume repeat criminal exception shows grows pretended denied
collection establishment granted orange prospect recalled rights leaf eyed apparent steel other's messenger machine
praise happily plunged louder worry succession unpleasant pace decide covering possibility quarrel boston growth
provisions alarmed consequently satisfy mischief feast senator ha gardens charity roused garments log gathering belle
parties uneasy grain conception polite coloured lofty merrick awoke dried moonlight youngest loaded speedily wing
respectable warning pursuit maiden engagement punishment characters guards thumb mayor fleece bo andrew lark cabinet
conway harding brook steep staying neat sunlight starting disposition adopted purely meadows uncomfortable lion silk
revealed rue error counted doubtful prize renewed slaves irish emotions contained constant endless absurd protection
jealous winds suspect eighth humble retreat breathing decision dine favourite obey appeal current desires distinction
dreamed arrive harmony remove follows campaign population cent exists fog individuals alike jack solitary anyway
recover amid advancing hypnotic deadly memories chairs beth rolling exceedingly shirt sunset jews islands encounter
paint properly executive thinks tremendous nonsense silly secured weeping drunk separate borne russia silently prayer
buildings roll roses worship lords authorities flock congress beaver bab reporter greggory ameer carlini source thomas
collar cleared aren't contented tight dwelling wisdom previously strongly misfortune misfortunes torn interior pirates
lucky folded estates destroy sending demands metal operation motives paying purse sex reaching chose humour grounds
swim thanked amazement lively readily elsewhere fatigue furnished clothing genuine psychic statement remedy mc
headquarters benefit furniture oil permission victim riding carol modest lessons rabbit loudly circular overhead
remaining gladly outer studied senses cliff catching hence centuries obedience streams feed idle brow deeds touching
solitude favorite dining pod gown confession agitation ere mink hell morland sunk counsel shell emily prime sport
adams monica pillow cetera wilson carling caterpillar farewell taylor brenda gnome chauvelin flood seconds persuade
reported sadness searching missing margaret prefer finest shouldn't encouraged declaration lawn granite british
reduced martin knock deceived published hoping signed thunder deliver defend awe whip assist roar indifferent joke
sadly rejoined arrange games tables owing tear heartily hay emotion trusted letting neighborhood belonging trunk fence
bills frozen imposed beast mood answers disease tip chicago cloth containing directions inquire rubbed load security
culture neglected breeze folly temporary railroad throng attached park comparatively sensible heavily waved princes
suggest sixth intellectual reasonable scenes fury packed diamonds discourse sorts acts instruments calmly toil floated
expense poetry accompany dusk pupils tower turns sailors probable steamer tore eldest musical snake homes doone shoot
boats fetch jerusalem artist gazing cliffs ridge fanny grove virginia hopkins parker robarts manage smart people's
indicated horizon decidedly fashioned glowing exact enjoying recent reasoning blew issued weakness lift tells
application graceful formerly hearted hang fancies belief gifts protect list seventh clerk flour kara normal valet
lunch housekeeper staring amused heels reproach snapped flowing stopping deeper succeed admired impressions involved
jewels whisper invisible permanent healthy urged planned warned reserve preparations coal calf design scale uniform
pockets abundance bible doorway johnny bark faster background theatre pitch inch universe b rynch nails crook conceal
swung opposed displayed earnestly masses namely naked instances opinions italian globe render le fathers bosom autumn
print composition hasn't flame sufferings total thine clay tossed fiery yourselves natured rushing performed anxiously
fro priests balloon quixote canvas plants milton hale shaw pushing bull bibbs theo falk cristel rawdon seed barn
harder theirs witnessed positively surgeon ringing brings oath recollection offence curiously adventures jane's
retorted florence drank she'd moss beautifully amusement responsibility preserve bohemia consented series majority
heir vigorous exclusion weapon dirty breathed perpetual resistance eagerness feeble rent net holiday realize sighted
gesture pleasures daylight fix interview farmers bush awakened warmth objection slip summoned convenient hind germany
selling brush walks center gossip seriously spain sugar glow scientific methods reign willingly acting commenced
altered sensations phenomena actions elements medical swiftly peril sailing tremble preparing wash heaps smoking
eternal impatient redcoat doctrine buffalo impressed bars beach gleam thorpe bullet inner leisure poet cordial venus
ma'am mist heroes ireland greenland execution mars barrel glacier writer term kwairyo bulls rex elk jasper sheriff
spilett craggs strongest rarely existed troubles trained pile chin bred maintain caution daughter's questioned apply
shaped card anguish commands arrested daring judged minded intellect protest holds faithfully girl's limited
fortunately cheer peaceful sublime angrily respects whereas stores inevitable responsible offices claimed beaten
bedroom closing aged domestic parlour smiles pleasing agent addressing husband's neighbourhood occupation wife's
inclination lazy scarce incident lots pink frog radiance desirable avoided training unconsciously speaker vivid upward
wonders washed genie submit tenderness learnt robe riches ray cigar capture inquiry confined acknowledged relatives
corpse funeral bonds deed exposed sincere gas stir embrace steam supplied favorable elegant arrangements wave sinister
hesitate aim finds yo murmur jealousy swore chances exist lodge consisted cunning embarrassment oldest locks extra
defeat lap satisfactory lock enthusiastic endured thence refuge bite repose cart absent tide populace philosophy
spectators offering bells comrades stole swinging circus backward grandmother dismissed sister's stove tales bennet
joseph hurstwood tie herd machinery weapons moscow knights doth nicholas airship cyrus sexual josiana shy expecting
cake humor beds encountered brand earthly regretted association blush hideous wearing babies reminded amazed careless
faintly gasped stooped observing surroundings interfere disagreeable san regarding apt reckon deserve channel induced
infant maintained root encouragement greek quest check artificial africa spectacle behalf damage undertake enabled
entertainment winding cousins mothers risen crowds drowned violently deer struggled patiently furious contest partner
tendency calculated romantic heroic trace advised remote guarded teaching swallowed frightful clad morality shores
leagues reserved shops marks formidable lean hostile supplies wars guided inform trifle stated suggestive impulses
influences discussed symptoms trick believing complex lip boy's cloak brightly backs ambitious tones commission
highness chase manifest contrast strictly horn miranda bronze hurrying cape onlooker conceive embraced wren crack
sergeant detail frost promptly snowy mixture lilies sofa swollen tramp mild treasures prophet lace boughs rude
distinguish gallery jacket albert dandy seize accent handkerchief hypnosis rules sin halted napoleon politics
intervals terrific borodino ants democracy herod bates stephen anthony goose constance avonlea rigid we'd burns she'll
carpet stolen phantom crushed confessed arrest firmness feverish twin danced corners hullo recommend compliment bench
proposal protested barrier inferior italy phrase recognised remembering ninth stirred tromp collect monk bid passes
corridor descend completed panic stained stamped neighbours columbia exchanged needn't laden complexion cease wives
correct searched traces footsteps harvest regularly ghosts dislike stomach p w expressions victims destiny compassion
suspended excite fame lit courteous amusing differently organization uncertain sink amiable luxury consolation owe
sensitive snapping hailed ardan rounded examine forming citizen disguise rescue waving flashed promises heatherstone
fortunes humphrey quit armies frequent criticism thereby hesitation vanity continual pages cattle cave providence
turkey caesar warrior canada skins whither child's awfully charged pack shine accord syndic blossoms keeper hoarse
mines folk charlotte joyous comrade owl sticks tribes they've signal bone shaken fairer author improved illness japan
wilderness ladder laying murdered dat snakes appetite clock ignorance jew frances affect musketeers ruins pulling
hunter jaws threshold grandcourt elzevir reference mission cupid coward wounds martian frere rollin merriwig pye
whistler florina cuthbert wont slope gables situated wire orphan hired dreaded preferred horrid unfortunately blessing
wretch mutual seeming betrayed gaily pretend likes invention counter discussing wanting restless organ decent
neighbour existing tune strolled destined greeted commerce proceeding largely central overwhelmed lasted youthful
compared sheer yield assent defence stirring recognition esteem wasted attracted volumes thoughtfully department who's
drawer grasped sneer wit sweep doctors finer admire rows element remarks test pig ceremony bidding begins inward occur
liable restoration tap improvement distinctly exhibited upright openly prominent upstairs collected ministers liver
cutting cherished prayed pierced latin sire coarse tobacco merchants institutions recently banquet soup schools
gracious hare heavens reception monte uneasiness magpie substance rivers nicholl tomb average followers fires belt
angle stretching standard surrender lovers obtaining repeating adding hypnotism hypnotized consequences passions
poison winning limits grin climbing gigantic strangely silvery bending pillars unnecessary nieces awkward thoughtful
swimming swam constantinople rocky stroke allies underneath string burn inches bowing pole admirable devotion sins
chains visitors feathers logs darted slopes corral here's leads descent basin thirst plays balls aboard cream procured
apology mouths wharton arrangement admission reaction drunken drouet personally wolf disturbance entertained boldly v
generations lions primitive englishman fisherman sledge parcel blot gleaming tools management monstrous sancho
supposing scout dantes morton borg nathan carson lecoq deasey lyra cucumetto troutina lynde cotton mare visits barely
parlor spencer dearly faded spared halls gloves debt apartments tumult honorable condemned clasped quicker helpless
oppressed harsh regards revived based provinces firing depended navy considerably terribly fiercely ancestors owed
insist consulted threatening debate frederick hopeless strain strained adjoining answering yielded lifting sleeve
serving sore privileges patriotism banner chimney specimens romance vexed dwelt swallow leap crossing dresses suits
determination attraction problems profit response clothed producing requires echoed behaviour weariness glancing
forbidden keen included facing stump passages relieve cure affections finish fountain perceiving settle celebrated
endeavoured warmly commercial printed wheels asserted flowed avenue suffrage ruled colors tunnel insignificant
procession cristo proposition smell dignified travelers stretch materials americans significant bet counting periods
planted reports traveling clung panting intent harness drifted scent recollect countless belongs accepting charms
particulars arguments dangers negative glittering incapable excess applause analysis injustice proprietor tradition
races breathe offended depth mice hasty pacific delicious rubbing capitalist harbor killing angels horseback deaf
educated shooting revenge european twilight c drag shots undoubtedly travelled storms temptation exertion derived jest
trigger whale queen's performance allen amidst marrying relate pattern teachers s orleans confident detective track
sparkled felix roger thereupon assume horsemen atlantic bewildered lady's wallace whereupon endeavored structure pulse
beats substitute route snap arts appointment attempts coachman judith provide lain twas swell tars parry sonya spear
rifle drake toby's assistant peer legal chee oglethorpe pines phronsie gimblet cavell pastrini badger hoopdriver
turtles bargain abundant knitting pressing easier they'll plums nod observer baroness perfection attending vice
mournful swear abandoned handful mostly resolve appreciation behaved velvet liking hush agitated smallest orderly
punish ripe boards blows tenth van complained recess pour bunch oysters melted ridiculous vulgar coldly intend
obviously confirmed examining triumphant embarrassed offers mirth transferred houarn hasten fishes waist envy cows
linen pound intimacy basis selfish spoil momentary foundation unique peaks slipping vexation continuing deposited
coroner reflections where's suitable grasp roofs emerged salvation wits resources dug totally polished biscuits
affecting liberal injury generation fist welcomed gopher efficient lands factory cooking paths insult preparation
rotten expensive projectile needle vehicle retreated intently pupil attendant perplexity readers suppressed
suggestions advertisement display injured create conflict carries studies non doctrines vital scheme brown's hen
unexpectedly sweeping sparkling representatives observations enveloped floating sale grandeur plentiful meetings
massive porch irresistible mississippi crop jar lumber paradise porter perish proceedings resemblance publicly robin
resembled eighteenth practised landlord heed ex determine complicated pilot carved simon cruelty certainty dragon's
exhaustion cricket wealthy sustained memorable decay errand tempted paces quantity boiling allowing temperance monkeys
preceding comprehend equipped hunted champion mob brother's arise flames comment groan cautiously thread raven
magician exquisite placing leaders robbery subsequent chap sources column mohammed churches earliest historian block h
lush section densher tiger shalt zeal abandon levison machines butterfly awaiting tarkas guineas oar copy piti
gambling russians redoubt collins steamers brig wireless germans gerard barber socialist theodora academy moose
zverkov jewish lufton kemp kavin hardquanonne wingfold o'shaughnessy templeton augustine flush founded knot asylum
alexander mail doubts puts personage lacking den groaned extending glances produces roughly remembrance guilt mourning
pursue ferocious telegraph cleaning berries tragedy undertaken frankly heroine beech foliage anticipated summon
sweetest assembly republic resentment undertaking admiral cromwell submitted stormy conquest portions disturb
justified standpoint replaced travellers impatiently hateful infernal struggling suspicions reverence hospitality
cathedral groom cottages eminent blushing cradle wander paws apron suited personality develop unity spots bridle
deliberately jail persisted greeting telephone smoked sleeves startling downward physicians cured piles medicines
waking surprising restore procure depart recommended engage retire evenings comparison mining chuckled squirrel claws
digging unwilling experiment enters emptied pavement crane apparatus relative traversed achievement worlds tents brink
generosity mysteries psychological harvard experiments naughty occasional resisted outward forgetting casting realm
marvelous torrent nobility deceive objected stockings blowing stable brutal radiant confounded cracked historical
egypt dependent magua bestowed extremity entitled villages slain ay brass bother crimson seal changing noses dropping
unworthy felicity nerves hawk drinking flow wrath uses democratic brute homeward cannon borrowed backed dashed
attained furnish associations feller cigarette dwell canoe keys writ chanced anti men's n't springing rulers tumbled
blaze crowned dinah picturesque boast checked combat gross darcy bounds banners howl weep failing sober flask battles
stationed examples fragments unreasonable wolves jewel motor pin artillery novel gratify hobbs kin raft formation
lantern characteristic residence majestic carthage glaciers specially ample located muscles stringham fortress honors
motioned biggest rail wi wages attractive onward bristol cossacks votes voted arisen duration hail agnes workhouse
dudley whittaker painting everlasting norhala laura barton armand munger weston newberry legislature assisted medea
brazen roby bartholemy rehnhjelm manuscript falander sellen gloody charley allah teapot ruggles citoyen loki channing
precise plates doctor's notion lobster comfortably peculiarly model withdraw rejected recall involuntarily mansion
suspicious crimes gratified fairies grip twentieth hook wig strict obstacle defined immensely scorn friend's encourage
delicacy communicated uncle's opportunities brooding readiness envoys attacks bind stewart pressure despite province
unequal professed opponent officials egg liquid oyster boil apprehension shivered junior latest eh elbow pleaded
night's grotesque judging folds grim niece strings tempest declined displeasure intensity combination couch haunted
inquiries inevitably patch obscure cemetery illusion accomplish thicket cares speaks reckoning catastrophe bottles
compliments wiped contain inhabited enraged son's communicate enchanted joyfully mace purity harry factories blocks
sorrowful stretches columns lamps acquaintances climb imaginary division maud chuck alter duchess tribute ascertain
worried disgust stupidity occupy advertising conceived irregular blunt vine goal depends repay rob striving discipline
psychology sticking continuous twinkling clinging steal knocking unlucky inspired barbarous deepest jesse drowsy timid
trousers sobbing civilized hearty estimate shared bits nostrils conclude apples subtle seemingly erect simpsons crisis
returns governed stool praying chicken ruby heavenly dreadfully songs newly al disgrace repair disorder fluttering
fluttered abbe legitimate talent respectfully combined speeches ensued mute tidings mast teddy drama bigger waistcoat
continent characteristics fertile arrow strip muskrats statue urgent crystal foxes siege introduction sinking
communication interval fortnight creep monkey bathing regions hazard muffled serene robbed unusually hamlet crayfish
eels thornton ingenious marianne disgusted propriety erected zadig ranks haughty requested bingley genteel verses
prevailed interruption axe commonly dismay extensive montoni thereafter purchased clubs bundle foul fernando loaf
scream hounds traced rejoicing energetic blank ropes rope elected choked separation customary defeated castles vandals
tasted sledges varied chocolate beer legged larry oxford honey compare parson reckoned cheering pistol miller county
shoe hither cheers rival frigate frogs workers ornaments leaping arrows giants martians skeleton stepping simpleton
pickets logic superintendent armor chiu ventnor savonarola lorenzo solemnly euralia er denis kenneth forbes rises
levin simonov baxter gavroche reginald tebbs chapel martineau vampa chopin ellison tad croxley thereof j privately
saving weren't stricken dumb exclamation warn stooping cheerfully homely missionary debray medium contract ascending
exciting robber labyrinth corruption complaints affectionate faults murderer joyful twins shocked arch fascinating
shiver pains peter's ecstasy touchett thrill henrietta spreading deemed sympathetic considerations perpetually advise
comforted neighbouring walter conference prey welfare enemy's protected discontent effected favourable prosperity
representing ruler shattered betray correspondence moment's obstacles prompted employment stammered roared crooked
ragged grinned traveller cards critical float dismal abuse refreshed mixed approved incidents confidently thatched ale
patches spending lodging hint remind annoyed wines proudly amuse hedge bowl screaming altar vow acceptable function
helping vicinity jury release bathed pleasantly trifling limit appropriate thickly harmless heel prompt effective
dainty compound wallet remainder betwixt debts alms purchase promising streaming courtiers miracle fainted respectful
vigor chairman map ideals courtesy millionaire whiskers vegetables executed calamity indescribable formal nervously
roaring clara access partition planet sights wool gravity alert organs mid wearied proclaimed saluted rewarded
abnormal extend urge bodily brains possum wonderfully magnificence haired seasons runs theories simplicity commanding
terrace establish void eliza originally poles lapse shriek modestly splendor mac maple mustn't introduce rosy mused
refined literary breathless exhibition sweetness unlocked ganem's closet gracefully cardinal sobbed hopped carter
attentive honestly despise fools types tolerably nineteenth rider spectator bud humming armour peeping worm
desperately feature worker onto enable eagle abbey petition developing terrors samson skull cutter hissing indulged
resembling buccaneers engine doubted claims shield tarling dew caring device removal lucas continues cub adapted
federal owners chattering boar flocks falsehood briefly attachment treville stealthily resolutions fearing outfit
activities lewis lifeless yoke lawrence gulf admiring genseric senate imperial emperor's neighboring antiquity violet
cheap ultimately gratification tightly ski blown drifting oneself parsonage forwards backwards cultivation deronda
sickness crevice bend canyon graduate preservation magistrates lamb tranquillity uproar blessed icy begging expedient
strayed horns pennsylvania greatness venerable alongside rostov trout commissioner picket brigham convicts exile
catholic maxwell convention gub firs chancellor shasta fundevogel jean insurrection cranes portrait norway grapes
caravan loch inventor henshaw veronica dietrich beeches bechamel minks secrets concerns awed peck nodding dishes sets
wiser worldly bond excused afflicted desolate peeped fashionable whistle pursuing expressing refer rascal code
attorney minor woven talks asks sobs appreciated faltered arbitrary faculty territory obstinate appreciate frighten
reconciled shilling warburton enclosed corresponding cultivate proposals alliance commanders amsterdam victor
interference solution scotland punished patriot inspiring ally successfully twelfth adversary induce discouraged
protector fantastic co treaty feat summons assigned secrecy remonstrance pepper boiled sauce stake creed frowned
viewed drawers tipped employ cellar policeman wrist whim glaring instruction genial intercourse defended handling
unlike confided reflect inasmuch jump floors colours reeds dwarf toes awhile tastes push submission refreshment factor
comic maturity partial dash behave frankness describing happier staircase shrank challenge interposed pensive
imprisonment studying ohio lawyers jelly drug merits plant lustre dispatched sighs breaks mule abominable festival
deserves philosopher deserved monarch unjust pension commit site blausser ribs ll semi mills peering massachusetts
potatoes holidays associated lava pencil disciples nature's sorrows ceiling receipt restrain receiver invariably
awakening wherein sarah invented boot cage compass drift outline whirling panel sounding released attentions messages
cordially loyalty steward psychotherapeutic circles imitation perverse struggles mistakes probability reform
beforehand energies ol scare scenery scrambled staggered quivering subdued animated shouts impelled noisy insolent
pitiful dancers nobleman du fits happening curve habitable loveliness parting fruits humbly contrived distracted evils
delawares accounted delaware simultaneously devoured subjected musing attain imposing rightly operations warmed patent
curled sped tucked mortals tom's ladd shirts fails pitched glee lid concert
"""

__all__ = ["COMMON_WORDS", "JOINED_WORDS"]
