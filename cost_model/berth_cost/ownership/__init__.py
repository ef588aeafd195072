"""What ways of getting GPUs cost over years: rented, reserved or owned, each against a named other one.

Read in this order: ``scenario`` (what is stated), ``bill`` (what an option costs each month), ``cash_flow`` (what
those months are worth today), ``comparison`` (the answer), ``plausibility`` (what looks wrong), ``sensitivity`` (what
would change the answer), ``scaling`` (which option is cheapest at which size).
"""
