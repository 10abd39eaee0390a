# Completion of escp(1) for fish, made by packaging/completions.py.

%(options)s
complete -c escp -n 'not string match -qr "[:/]" -- (commandline -ct)' -a '(__fish_complete_user_at_hosts):' -d Host
complete -c escp -n 'string match -qr "^[^/]*:" -- (commandline -ct)' -f # a path on another host
