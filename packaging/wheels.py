def build_wheels(*a): raise SystemExit("later")
