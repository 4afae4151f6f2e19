"""What people type who know other trainers: the key it is here, or that there is none.

Words are folded: lower case, without `-`, `_` and `.`. A word with dots is looked up whole, then by
its last part.
"""

# Our key or setting -> the words of others for it.
NAMES_ELSEWHERE = {
    "optim.lr": "lr learningrate baselr initiallr initlr lr0 maxlr peaklr steplr stepsize eta",
    "optim=NAME": "optimizer opt optimiser optimname optimizertype optimizername",
    "optim.momentum": "momentum sgdmomentum",
    "optim.betas": "betas beta1 beta2 adambetas",
    "optim.eps": "eps epsilon adameps adamepsilon",
    "optim.nesterov": "nesterov",
    "optim.weight_decay": "weightdecay wd decay l2 l2reg regularization",
    "optim.label_smoothing": "labelsmoothing smoothing smooth labelsmooth",
    "optim.warmup_epochs": "warmup warmupepochs numwarmupepochs warmuplr warmupsteps lrwarmup",
    "optim.frozen": "freeze frozen freezebackbone freezeencoder linearprobe",
    "optim.backbone_lr_factor": "backbonelr lrbackbone",
    "optim.layer_decay": "layerdecay layerwisedecay llrd lldecay",
    "optim.accumulate": "accumulategradbatches gradaccum accumulate gradientaccumulationsteps "
    "gradaccumsteps accumsteps accum gradientaccumulation accumulationsteps",
    "optim.class_weights": "classweights classweight weightedloss lossweights lossweight",
    "optim.focal_gamma": "focalloss focal focalgamma",
    "optim/schedule=NAME": "scheduler lrscheduler sched schedule lrschedule lrpolicy",
    "optim.schedule.milestones": "milestones decayepochs lrsteps steps",
    "optim.schedule.gamma": "gamma decayrate lrgamma",
    "trainer.max_epochs": "epochs epoch numepochs nepochs maxepochs trainepochs numtrainepochs "
    "nbepochs totalepochs niter ep",
    "trainer.accelerator": "gpu device cuda accelerator usegpu nocuda cpu usecuda deviceid mps",
    "trainer.devices": "gpus numgpus ngpu ngpus devices numdevices worldsize nprocpernode nproc "
    "numprocesses ddp distributed strategy numnodes dataparallel multigpu",
    "trainer.precision": "precision amp fp16 bf16 half mixedprecision halfprecision usefp16 useamp "
    "float16 bfloat16 fp32 autocast dtype",
    "trainer.score": "metric monitor scoring evalmetric bestmetric "
    "metricforbestmodel checkpointmetric",
    "trainer.patience": "earlystopping patience earlystop earlystoppingpatience",
    "trainer.max_minutes": "maxtime timelimit timebudget maxhours maxminutes",
    "trainer.ema_decay": "ema emadecay modelema modelemadecay averaging useema",
    "trainer.clip_norm": "clip clipnorm gradclip clipgrad gradientclipval gradientclip "
    "maxgradnorm clipgradnorm gradientclipping gradclipnorm",
    "trainer.deterministic": "deterministic cudnndeterministic benchmark cudnnbenchmark",
    "trainer.channels_last": "channelslast memoryformat",
    "trainer.checkpoint_minutes": "savefreq saveinterval checkpointfreq saveevery saveperiod "
    "savesteps checkpointinterval everynepochs",
    "data=NAME": "dataset data dataname datasetname ds datamodule dm",
    "data.root": "root dataroot datadir datapath datasetpath datasetdir path imagedir imgdir "
    "traindir trainpath folder imagefolder datafolder",
    "data.exclude": "exclude ignore skip blacklist",
    "data.classes": "classes classnames subset",
    "data.num_classes": "numclasses nclasses nc nclass classesnum numclass",
    "data.image_size": "imagesize imgsize imgsz inputsize img size resolution cropsize resize res "
    "inputshape height width trainsize imsize",
    "data.test_size": "valcropsize testcrop centercrop centrecrop evalsize testimagesize "
    "testimgsize testresolution",
    "data.test_resize": "valresizesize valresize testresize evalresize croppct",
    "data.padding_mode": "paddingmode padmode reflect reflectpad reflectionpad borders",
    "data.test_flips": "tta testtimeaugmentation testflip fliptest hfliptest testaugment",
    "data.batch_size": "batchsize batch bs b trainbatchsize bsz batchsz minibatch batchsizetrain "
    "perdevicetrainbatchsize batchsizepergpu globalbatchsize",
    "data.workers": "workers numworkers nworkers j numworker dataloaderworkers "
    "dataloadernumworkers nthreads threads numthreads",
    "data.cache": "cache cachedata preload inmemory",
    "data.val_fraction": "valsplit valfraction validationsplit valsize validationsize valratio "
    "testsize split trainvalsplit valpct",
    "data.split_seed": "splitseed",
    "data.flip": "flip hflip fliplr horizontalflip randomflip",
    "data.crop": "crop randomcrop randomresizedcrop croptype scale",
    "data.cutout": "cutout cutoutlength cutoutsize",
    "data.mixup": "mixup mixupalpha",
    "data.cutmix": "cutmix cutmixalpha",
    "data.sampling": "sampling sampler weightedsampler weightedrandomsampler balanced "
    "balancedsampler oversample oversampling classbalanced",
    "data.images_per_class": "imagesperclass samplesperclass shots fewshot",
    "data.augment": "augment augmentation aug augmentations transform transforms dataaugmentation "
    "useaugmentation randaugment ra trivialaugment augmix colorjitter vflip rotation rotate "
    "randomerasing reprob erasing",
    "model=NAME": "model arch architecture a backbone net network modelname encoder modeltype nn",
    "model.pretrained": "pretrained weights pretrainedweights usepretrained init initcheckpoint "
    "finetunefrom loadweights pretrainedpath load loadfrom modelpath imagenetweights",
    "attention=NAME": "attention attn att se usese attentiontype attentionmodule attentionname "
    "usecbam withse senet",
    "ratio": "ratio reduction r reductionratio seratio rdratio attentionratio squeezeratio "
    "rdchannels",
    "placement.stages": "stages stage sestages",
    "placement.position": "position location where integration",
    "seed": "seed randomseed manualseed rngseed seedeverything torchseed randomstate s",
    "seeds": "seeds numseeds nseeds repeats numrepeats runs numruns trials nruns repetitions",
    "logger=NAME": "logger loggers logging reportto loggertype loggername tracker tracking",
    "logger=wandb": "wandb usewandb wandblogger logwandb enablewandb",
    "logger=mlflow": "mlflow usemlflow mlflowlogger enablemlflow",
    "logger=tensorboard": "tensorboard tb usetensorboard usetb tensorboardlogger",
    "logger=csv": "csvlogger usecsv",
    "logger.online": "online offline wandbmode wandbonline wandboffline",
    "logger.project": "wandbproject wandbprojectname projectname",
    "logger.entity": "entity wandbentity",
    "logger.tracking_uri": "trackinguri mlflowtrackinguri mlflowuri mlflowurl",
    "output_dir": "outputdir output out outdir o savedir logdir workdir savepath resultdir "
    "resultsdir rundir checkpointdir ckptdir expdir save outputpath outputfolder outputs "
    "defaultrootdir dirpath name exp expname experimentname runname",
    "experiment=NAME": "experiment preset",
    "recipe=NAME": "recipe trainingrecipe",
    "task=NAME": "task mode",
    "overwrite=true": "overwrite force forcererun restart fresh noresume",
    "retry=failed": "retry retryfailed",
    "dry_run=true": "dryrun dry simulate plan",
    "hydra.sweeper.num_trials": "numtrials ntrials maxtrials budget",
    "hydra.launcher.jobs": "jobs njobs parallel numjobs maxparallel",
}
# What there is no key for -> what there is.
NOT_HERE = {
    "cutmixprob mixupprob mixupswitchprob mixupmode": "data.mixup and data.cutmix mix every batch, "
    "and with both each batch by one of them, by equal chance",
    "autoaugment aa": "data.augment has randaugment, trivial and augmix, and no policy that was "
    "searched for on one data set",
    "comet neptune clearml aim swanlab dvclive": "logger=NAME is tensorboard, csv, wandb or "
    "mlflow, and every run writes metrics.csv, which other trackers can be given",
    "project": "output_dir=DIR is where runs go, and with logger=wandb logger.project=NAME is the "
    "project there",
    "wandbname wandbgroup wandbtags wandbid wandbrunname wandbrunid": "a run is called by its arm "
    "and seed at a tracker, and grouped by its plan",
    "adam rmsprop lamb lion adagrad lars adabound adafactor sam": "there are optim=adamw, "
    "optim=radam, optim=nadam, and SGD in the other files of optim",
    "resume resumefrom resumefromcheckpoint ckptpath checkpoint ckpt autoresume resumepath "
    "continuetraining restore cont last": "the same line again goes on with an unfinished run by "
    "itself, and model.pretrained=FILE starts from weights",
    "compile torchcompile jit usecompile": "trainer.kernel=compiled is torch.compile, and "
    "trainer.kernel=auto takes it for long runs on a GPU",
    "fastdevrun limittrainbatches limitvalbatches overfitbatches debug profiler maxsteps "
    "numsanityvalsteps valcheckinterval checkvaleverynepoch logeverynsteps limittestbatches": "a "
    "part of an epoch is not supported, trainer.max_epochs=1 is short and dry_run=true is a look",
    "fsdp deepspeed zero tpu tpus": "only trainer.devices=N is supported, a copy of the network on "
    "each GPU",
    "dropout dropoutrate droppath droprate dropconnect stochasticdepth droppathrate": "this "
    "network has no dropout that can be set",
    "kfold folds nfolds crossvalidation cv fold": "cross-validation is not supported, seeds=N "
    "repeats a run and data.split_seed chooses the validation images",
    "distill distillation teacher kd temperature": "distillation is not supported",
    "loss lossfn criterion lossfunction": "the loss is the cross-entropy, which "
    "optim.label_smoothing, optim.class_weights and optim.focal_gamma change",
    "evaluate eval e test evalonly testonly validate inference predict testafter evalmode": "every "
    "run is tested at its end, and senet-evaluate RUN and senet-predict RUN use it again",
    "train dotrain istrain fit verbose v quiet printfreq loglevel loginterval progressbar "
    "enableprogressbar callbacks config cfg yaml configfile c": "senet-train --help lists what can "
    "be set",
}
# (group, option as typed) -> what to write; NAMES_ELSEWHERE and NOT_HERE are looked in as well.
OPTIONS_ELSEWHERE = {
    "trainer": {
        "gpu cuda": "trainer.accelerator=gpu",
        "cpu": "trainer.accelerator=cpu",
        "mps metal apple": "trainer.accelerator=mps",
        "ddp": "trainer.devices=N",
    },
    "data": {
        "imagefolder imagenet imagenet1k folder custom ilsvrc2012 tinyimagenet imagenette "
        "imagewoof images in1k mine own my": "data=imagenet_subset data.root=DIR",
        "mnist": "data=digits",
        "cifar": "data=cifar10",
        "coco voc pascal": "data=shapes",
    },
    "attention": {
        "false no off null nothing plain identity": "attention=none",
        "true yes on senet squeezeexcitation squeezeexcite seblock selayer": "attention=se",
        "ecanet": "attention=eca",
        "coordinate ca coordatt": "attention=coord",
        "fcanet": "attention=fca",
        "gcnet globalcontext": "attention=gc",
        "nln nonlocalblock": "attention=nonlocal",
    },
    "logger": {
        "tb tensorboardlogger tensorboardx": "logger=tensorboard",
        "csvlogger none off no": "logger=csv",
        "wb weightsandbiases weightsbiases wandblogger": "logger=wandb",
        "mlflowlogger": "logger=mlflow",
    },
    "hydra/launcher": {
        "slurm submitit": "hydra/launcher=submitit_slurm",
        "joblib multiprocessing": "hydra/launcher=local",
    },
    "hydra/sweeper": {"optuna ax nevergrad tpe": "hydra/sweeper=search"},
    "model": {"resnet cifarresnet": "model=resnet20", "senet seresnet": "model=se_resnet20"},
    "optim": {"sgd": "optim=one_cycle", "adam": "optim=adamw"},
    "optim/schedule": {
        "sgdr cosineannealingwarmrestarts cosinerestarts": "optim/schedule=warm_restarts",
        "onecycle onecyclelr": "optim/schedule=one_cycle",
        "cosineannealing cosineannealinglr cos": "optim/schedule=cosine",
        "steplr multistep multisteplr": "optim/schedule=step",
        "none": "optim/schedule=constant",
    },
}


def fold(word: str) -> str:
    """`Learning-Rate` -> `learningrate`."""
    return "".join(c for c in word.lower() if c not in "-_. ")


KEY_OF = {word: key for key, words in NAMES_ELSEWHERE.items() for word in words.split()}
REASON_OF = {word: reason for words, reason in NOT_HERE.items() for word in words.split()}
OPTION_OF = {
    (group, word): setting
    for group, table in OPTIONS_ELSEWHERE.items()
    for words, setting in table.items()
    for word in words.split()
}
