// Each run is computed here and sent to another host: nextflow run main.nf --target dtn2:/data/
//
// A send is done when all of the run is there and verified: another exit status than 0 is a failure. Statuses that
// may pass by themselves (ssh, the network, the end of the time) are tried again, and go on where they were cut off.

params.target = 'dtn2:/data/'
params.runs = 'run1,run2,run3'

process compute {
    tag "$run"

    input:
    val run

    output:
    path "$run"

    script:
    """
    mkdir $run
    for n in 1 2 3 4 5; do seq \$((n * 20000)) > $run/part-\$n.txt; done
    """
}

process send {
    tag "$run"
    maxForks 2
    maxRetries 3
    errorStrategy { task.exitStatus in [10, 13, 17] ? 'retry' : 'finish' }

    input:
    path run

    output:
    path "${run}.json"

    script:
    """
    escp -rp --resume --batch --json '$run' '${params.target}' > '${run}.json'
    """
}

workflow {
    channel.fromList(params.runs.tokenize(',')) | compute | send
    send.out.view { "sent: ${it.baseName}" }
}
